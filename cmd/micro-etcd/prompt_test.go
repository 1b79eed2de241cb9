package main

import (
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/etcdtest"
)

func TestAPromptEndsWithItsContext(t *testing.T) {
	srv := etcdtest.Start(t)
	never, end := io.Pipe()
	t.Cleanup(func() { _ = end.Close() }) // nobody else ends the read
	for _, args := range [][]string{registerLegacy, slices.Concat(registerLegacy, []string{"--ttl", "0"})} {
		r := start(t, srv, never, args...)
		r.says("[y/N]")
		require.Equal(t, app.ExitNo, r.stop())
		require.Contains(t, r.err.String(), "nothing registered")
	}
}

func TestCtrlCEndsACommandThatAsks(t *testing.T) {
	binary := build(t)
	srv := etcdtest.Start(t)
	for _, at := range []struct {
		prompt string
		code   int
		args   []string
	}{
		{"[y/N]", app.ExitNo, registerLegacy},
		{"Password of root:", app.ExitFailed, []string{"services", "--user", "root"}},
	} {
		cmd := exec.CommandContext(t.Context(), binary, append(at.args, "-a", srv.Endpoint())...)
		keyboard, err := pty.Start(cmd)
		require.NoError(t, err)
		var shown buffer
		read := make(chan struct{})
		go func() {
			defer close(read)
			_, _ = io.Copy(&shown, keyboard) // fails when the other end is closed
		}()
		require.Eventually(t, func() bool { return strings.Contains(shown.String(), at.prompt) }, patience, time.Millisecond)
		_, err = keyboard.WriteString("\x03")
		require.NoError(t, err)
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Wait(), &exit)
		<-read
		require.Equal(t, at.code, exit.ExitCode(), shown.String())
		require.NoError(t, keyboard.Close())
	}
}
