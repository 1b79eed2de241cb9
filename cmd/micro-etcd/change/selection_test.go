package change

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

func TestANameWithOneSpellingIsReadOnce(t *testing.T) {
	require.Equal(t, []string{"greeter"}, output.Spellings("greeter"), "it is read once")
}
