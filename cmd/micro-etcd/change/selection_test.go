package change

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestANameWithOneSpellingIsReadOnce(t *testing.T) {
	require.Equal(t, []string{"greeter"}, spellings("greeter"), "it is read once")
}
