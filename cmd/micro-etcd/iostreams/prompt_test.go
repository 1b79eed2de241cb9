package iostreams

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
	"golang.org/x/term"

	"github.com/micro-etcd/micro-etcd/test/leak"
)

const patience = 30 * time.Second

func TestMain(m *testing.M) { leak.Verify(m) }

func stateOf(tb testing.TB, terminal *os.File) term.State {
	tb.Helper()
	state, err := term.GetState(int(terminal.Fd()))
	require.NoError(tb, err)
	return *state
}

func TestATerminalEchoesAgainAfterAPassword(t *testing.T) {
	interrupted := errors.New("interrupted")
	for _, want := range []error{nil, interrupted} {
		keyboard, terminal, err := pty.Open()
		require.NoError(t, err)
		before := stateOf(t, terminal)
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() {
			password, err := readPassword(ctx, int(terminal.Fd()))
			if err == nil && string(password) != "secret" {
				err = errors.New("got " + string(password))
			}
			ended <- err
		}()
		require.Eventually(t, func() bool { return stateOf(t, terminal) != before }, patience, time.Millisecond, "no echo")
		if want != nil {
			cancel(want)
			require.ErrorIs(t, <-ended, want)
			require.Equal(t, before, stateOf(t, terminal))
		}
		_, err = keyboard.WriteString("secret\n") // ends the read in any case
		require.NoError(t, err)
		if want == nil {
			require.NoError(t, <-ended)
			require.Equal(t, before, stateOf(t, terminal))
		}
		cancel(nil)
		require.NoError(t, keyboard.Close())
	}
}
