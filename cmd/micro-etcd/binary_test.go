package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/iostreams"
	"github.com/micro-etcd/micro-etcd/etcdtest"
)

func build(tb testing.TB) string {
	tb.Helper()
	binary := filepath.Join(tb.TempDir(), "micro-etcd")
	build := exec.CommandContext(tb.Context(), "go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(tb, err, string(out))
	return binary
}

func TestTheBinaryIsStaticAndEndsAsItShould(t *testing.T) {
	t.Parallel()
	binary := build(t)
	srv := etcdtest.Start(t)

	code := func(args ...string) int {
		cmd := exec.CommandContext(t.Context(), binary, append(args, "-a", srv.Endpoint())...)
		var exit *exec.ExitError
		out, err := cmd.CombinedOutput()
		t.Logf("%v: %v\n%s", args, err, out)
		if errors.As(err, &exit) {
			return exit.ExitCode()
		}
		require.NoError(t, err)
		return 0
	}
	require.Equal(t, app.ExitOK, code("services"))
	require.Equal(t, app.ExitNo, code("nodes", "nobody"))
	require.Equal(t, app.ExitFailed, code("nodes"))
	require.Equal(t, app.ExitOK, code("doctor"))
	fleettest.Put(t, srv.Client(t), legacyKey, "junk")
	require.Equal(t, app.ExitNo, code("doctor"))
	require.Equal(t, app.ExitFailed, code("deregister", "--record-key", legacyKey), "standard input is no terminal")
	discard := iostreams.Streams{Out: io.Discard, Err: io.Discard}
	require.Equal(t, app.ExitOK, run(t.Context(), []string{"--version"}, discard))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch := exec.CommandContext(ctx, binary, "watch", "-a", srv.Endpoint())
	stdout, err := watch.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, watch.Start())
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.Contains(lines.Text(), "connected") {
	}
	require.NoError(t, watch.Process.Signal(os.Interrupt))
	require.NoError(t, watch.Wait(), "Ctrl-C is exit code 0")
}
