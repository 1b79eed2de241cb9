package gomicro

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// What isn't UTF-8 is shown as others will read it.
func TestTextIsAsJSONKeepsIt(t *testing.T) {
	for _, s := range []string{"", "ü\u2028", "\xff", "a\xc3", "\xed\xa0\x80b", "\xff\xfe�"} {
		value, err := json.Marshal(s)
		require.NoError(t, err)
		var read string
		require.NoError(t, json.Unmarshal(value, &read))
		require.Equal(t, read, text(s))
	}
}
