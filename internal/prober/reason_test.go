package prober

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// nothing is an error whose method panics.
type nothing struct{ text *string }

func (n nothing) Error() string { return *n.text }

func TestReason(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("dial tcp 10.0.0.1:80: connect: connection refused"), `check "tcp": dial tcp 10.0.0.1:80: connect: connection refused`},
		{errors.New("a\nb\x1b[2J\u202e\xff"), `check "tcp": a\nb\x1b[2J\u202e\xff`},
		{errors.New(strings.Repeat("x", 287)), `check "tcp": ` + strings.Repeat("x", 287)},
		{errors.New(strings.Repeat("x", 288)), `check "tcp": ` + strings.Repeat("x", 284) + "…"},
		{errors.New(strings.Repeat("ä", 144)), `check "tcp": ` + strings.Repeat("ä", 142) + "…"},
		{errors.New(strings.Repeat("x", 283) + "\x00yy"), `check "tcp": ` + strings.Repeat("x", 283) + "…"},
	} {
		require.Equal(t, test.want, reason(&Status{Name: "tcp", Err: test.err}))
	}
	require.Empty(t, reason(nil))
	require.Contains(t, reason(&Status{Name: "tcp", Err: nothing{}}), "PANIC")
}

func FuzzClip(f *testing.F) {
	f.Add("a text")
	f.Add(strings.Repeat("…\x00", 200))
	f.Fuzz(func(t *testing.T, text string) {
		clipped := clip(text)
		require.LessOrEqual(t, len(clipped), maxReason)
		require.True(t, utf8.ValidString(clipped))
		require.Equal(t, clipped, clip(clipped), "nothing is left to do")
		if len(clipped) < maxReason-10 {
			require.GreaterOrEqual(t, len(clipped), len(text), "a short text is whole")
		}
	})
}
