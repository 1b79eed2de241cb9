package interop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
func startServer(tb testing.TB, version string, flags ...string) *server {
	tb.Helper()
	s := newServer(tb, version, "http", flags)
	s.start(tb)
	s.awaitHealth(tb)
	return s
}

// newServer chooses ports and flags.
func newServer(tb testing.TB, version, scheme string, flags []string) *server {
	tb.Helper()
	s := &server{version: version, port: freePort(tb), peer: freePort(tb), metrics: freePort(tb)}
	client, peer := scheme+"://"+loopback(s.port), "http://"+loopback(s.peer)
	name := s.name()
	s.args = append([]string{
		"--name", name, "--data-dir", filepath.Join(tb.TempDir(), name),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", name + "=" + peer,
		"--listen-metrics-urls", "http://" + loopback(s.metrics),
		"--log-level", "error", "--unsafe-no-fsync",
	}, flags...)
	return s
}

func (s *server) dataDir() string { return s.args[slices.Index(s.args, "--data-dir")+1] }

func (s *server) name() string { return "m" + strconv.Itoa(s.peer) }

// start starts it, again on the same data and ports if it ran before.
func (s *server) start(tb testing.TB) {
	tb.Helper()
	s.process = run(tb, exec.CommandContext(context.Background(), binary(tb, s.version), s.args...))
}

// awaitHealth waits until it answers.
func (s *server) awaitHealth(tb testing.TB) {
	tb.Helper()
	eventually(tb, func() bool {
		require.False(tb, s.ended(), "etcd ended:\n%s", s.log)
		response, err := get(tb, "http://"+loopback(s.metrics)+"/health")
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode == http.StatusOK
	}, "etcd answers")
}

func get(tb testing.TB, url string) (*http.Response, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	tb.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	require.NoError(tb, err)
	transport := &http.Transport{DisableKeepAlives: true}
	return (&http.Client{Transport: transport}).Do(request)
}

// counted returns the sum of a server's metrics of a name whose labels contain a text.
func (s *server) counted(tb testing.TB, name, label string) int {
	tb.Helper()
	response, err := get(tb, "http://"+loopback(s.metrics)+"/metrics")
	require.NoError(tb, err)
	defer func() { _ = response.Body.Close() }()
	total, found := 0.0, false
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		line := lines.Text()
		if !strings.HasPrefix(line, name+"{") && !strings.HasPrefix(line, name+" ") || !strings.Contains(line, label) {
			continue
		}
		n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		require.NoError(tb, err)
		total, found = total+n, true
	}
	require.True(tb, found, "the server counts %s with %q", name, label)
	return int(total)
}

// watches returns how many watches there are on it.
func (s *server) watches(tb testing.TB) int {
	tb.Helper()
	return s.counted(tb, "etcd_debugging_mvcc_watcher_total", "")
}

// address is the server's host and port.
func (s *server) address() string { return loopback(s.port) }

// client returns a client to look at etcd with, which is closed when the test ends.
func (s *server) client(tb testing.TB) *clientv3.Client {
	tb.Helper()
	return newClient(tb, clientv3.Config{Endpoints: []string{s.address()}})
}

func newClient(tb testing.TB, config clientv3.Config) *clientv3.Client {
	tb.Helper()
	config.DialTimeout, config.Logger = patience, zap.NewNop()
	client, err := clientv3.New(config)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = client.Close() }) // it reports no more than its own canceled context
	return client
}

// etcdctl runs the usual etcdctl on a server.
func (s *server) etcdctl(tb testing.TB, args ...string) string {
	tb.Helper()
	out, err := command(tb, []string{"ETCDCTL_ENDPOINTS=" + s.address()}, binary(tb, "etcdctl36"), args...)
	require.NoError(tb, err, args)
	return out
}

func asExit(err error, exit **exec.ExitError) bool { return errors.As(err, exit) }

func soon(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	tb.Cleanup(cancel)
	return ctx
}

// eventually waits for a condition, looking at it often.
func eventually(tb testing.TB, condition func() bool, what string, args ...any) {
	tb.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			require.FailNow(tb, "not within "+patience.String()+": "+fmt.Sprintf(what, args...))
		}
	}
}
