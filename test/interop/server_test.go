package interop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// The server that tests use unless it is about versions, and etcdctl of the same release.
const usual = "etcd36"

// server is an etcd process.
type server struct {
	*process
	version string
	args    []string
	port    int // for clients
	peer    int
	metrics int
}

// startServer runs an etcd of its own with flags beside the usual ones.
func startServer(t testing.TB, version string, flags ...string) *server {
	t.Helper()
	s := newServer(t, version, "http", flags)
	s.start(t)
	s.awaitHealth(t)
	return s
}

// newServer chooses ports and flags.
func newServer(t testing.TB, version, scheme string, flags []string) *server {
	t.Helper()
	s := &server{version: version, port: freePort(t), peer: freePort(t), metrics: freePort(t)}
	client, peer := scheme+"://"+loopback(s.port), "http://"+loopback(s.peer)
	name := s.name()
	s.args = append([]string{
		"--name", name, "--data-dir", filepath.Join(t.TempDir(), name),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", name + "=" + peer,
		"--listen-metrics-urls", "http://" + loopback(s.metrics),
		"--log-level", "error", "--unsafe-no-fsync",
	}, flags...)
	return s
}

func (s *server) name() string { return "m" + strconv.Itoa(s.peer) }

// start starts it, again on the same data and ports if it ran before.
func (s *server) start(t testing.TB) {
	t.Helper()
	s.process = run(t, exec.CommandContext(context.Background(), binary(t, s.version), s.args...))
}

func (s *server) stop() {
	_ = s.Process.Signal(syscall.SIGTERM) // unless it has ended
	<-s.done
}

// awaitHealth waits until it answers.
func (s *server) awaitHealth(t testing.TB) {
	t.Helper()
	eventually(t, func() bool {
		require.False(t, s.ended(), "etcd ended:\n%s", s.log)
		response, err := get(t, "http://"+loopback(s.metrics)+"/health")
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode == http.StatusOK
	}, "etcd answers")
}

func get(t testing.TB, url string) (*http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	transport := &http.Transport{DisableKeepAlives: true}
	return (&http.Client{Transport: transport}).Do(request)
}

// counted returns the sum of a server's metrics of a name whose labels contain a text.
func (s *server) counted(t testing.TB, name, label string) int {
	t.Helper()
	response, err := get(t, "http://"+loopback(s.metrics)+"/metrics")
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	total, found := 0.0, false
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		line := lines.Text()
		if !strings.HasPrefix(line, name+"{") && !strings.HasPrefix(line, name+" ") || !strings.Contains(line, label) {
			continue
		}
		n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		require.NoError(t, err)
		total, found = total+n, true
	}
	require.True(t, found, "the server counts %s with %q", name, label)
	return int(total)
}

// watches returns how many watches there are on it.
func (s *server) watches(t testing.TB) int {
	t.Helper()
	return s.counted(t, "etcd_debugging_mvcc_watcher_total", "")
}

// address is the server's host and port.
func (s *server) address() string { return loopback(s.port) }

// client returns a client to look at etcd with, which is closed when the test ends.
func (s *server) client(t testing.TB) *clientv3.Client {
	t.Helper()
	return newClient(t, clientv3.Config{Endpoints: []string{s.address()}})
}

func newClient(t testing.TB, config clientv3.Config) *clientv3.Client {
	t.Helper()
	config.DialTimeout, config.Logger = patience, zap.NewNop()
	client, err := clientv3.New(config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() }) // it reports no more than its own canceled context
	return client
}

// etcdctl runs the usual etcdctl on a server.
func (s *server) etcdctl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := command(t, []string{"ETCDCTL_ENDPOINTS=" + s.address()}, binary(t, "etcdctl36"), args...)
	require.NoError(t, err, args)
	return out
}

func asExit(err error, exit **exec.ExitError) bool { return errors.As(err, exit) }

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for a condition, looking at it often.
func eventually(t testing.TB, condition func() bool, what string, args ...any) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			require.FailNow(t, "not within "+patience.String()+": "+fmt.Sprintf(what, args...))
		}
	}
}
