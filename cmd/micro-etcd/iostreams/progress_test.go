package iostreams

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProgressIsShownOnLongWorkAtATerminalOnly(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		var said bytes.Buffer
		p := (&Streams{Err: &said, ErrIsTerminal: terminal}).Progress("reading records")
		p.Update(1, 3)
		require.Empty(t, said.String(), "it doesn't take long yet")
		p.began = p.began.Add(-progressAfter)
		p.Update(2, 3)
		p.End()
		require.Equal(t, terminal, strings.Contains(said.String(), "reading records: 2 of 3"))
		require.Equal(t, terminal, strings.HasSuffix(said.String(), "\r\x1b[K"))
	}
}
