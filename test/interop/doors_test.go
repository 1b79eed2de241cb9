package interop

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// exercise goes through a registration's life on a way to etcd, as another registry on a way of its own sees it.
func exercise(t *testing.T, name string, provider, consumer registry.Registry) {
	t.Helper()
	w := watch(t, consumer, name)
	s := service(name, "1", "a")
	require.NoError(t, provider.Register(s, registry.RegisterTTL(lifetime)))
	require.Equal(t, "create a@1", next(t, w))
	s = service(name, "2", "a")
	require.NoError(t, provider.Register(s, registry.RegisterTTL(lifetime)))
	require.Equal(t, "delete a@1", next(t, w))
	require.Equal(t, "update a@2", next(t, w))
	require.Equal(t, []string{"a@2"}, found(t, consumer, name))
	time.Sleep(lifetime + time.Second) // it must be renewed meanwhile, or it would be gone
	require.Equal(t, []string{"a@2"}, found(t, consumer, name))
	services, err := consumer.ListServices()
	require.NoError(t, err)
	require.Equal(t, []string{"a@2"}, idsOf(services))
	require.NoError(t, provider.Deregister(s))
	require.Equal(t, "delete a@2", next(t, w))
	require.Empty(t, found(t, consumer, name))
}

func found(tb testing.TB, r registry.Registry, name string) []string {
	tb.Helper()
	services, err := r.GetService(name)
	if err != nil {
		require.ErrorIs(tb, err, registry.ErrNotFound)
	}
	return idsOf(services)
}

// reaches waits until a lookup finds exactly these nodes.
func reaches(tb testing.TB, r registry.Registry, name string, ids ...string) {
	tb.Helper()
	eventually(tb, func() bool { return slices.Equal(found(tb, r, name), ids) }, "%v of %s", ids, name)
}

func watch(tb testing.TB, r registry.Registry, name string) registry.Watcher {
	tb.Helper()
	w, err := r.Watch(registry.WatchService(name))
	require.NoError(tb, err)
	tb.Cleanup(w.Stop)
	return w
}

// next returns what a watcher says next, like create a@1.
func next(tb testing.TB, w registry.Watcher) string {
	tb.Helper()
	late := time.AfterFunc(patience, w.Stop)
	defer late.Stop()
	r, err := w.Next()
	require.NoError(tb, err)
	return r.Action + " " + strings.Join(idsOf([]*registry.Service{r.Service}), " ")
}

func TestEtcdctlShowsAndChangesWhatIsRegistered(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	r := open(t, registry.Addrs(s.address()))
	require.NoError(t, r.Register(service("greeter", "1", "a"), registry.RegisterTTL(time.Minute)))

	const key = "/micro/registry/greeter/a"
	value := string(encode(t, service("greeter", "1", "a")))
	require.Equal(t, key+"\n"+value+"\n", s.etcdctl(t, "get", "--prefix", "/micro/registry/"))

	id := leaseOf(t, s)
	require.Contains(t, s.etcdctl(t, "lease", "timetolive", id, "--keys"), "attached keys(["+key+"])")

	shown := run(t, exec.CommandContext(context.Background(), binary(t, "etcdctl36"),
		"--endpoints", s.address(), "watch", "--prefix", "/micro/registry/"))
	eventually(t, func() bool { return s.watches(t) >= 2 }, "etcdctl watches beside us")
	require.Equal(t, "1\n", s.etcdctl(t, "del", key))
	eventually(t, func() bool {
		return shown.log.String() == "DELETE\n"+key+"\n\nPUT\n"+key+"\n"+value+"\n"
	}, "the deletion and the return: %s", shown.log)
	require.Equal(t, id, leaseOf(t, s), "a deleted key comes back on the same lease")

	s.etcdctl(t, "lease", "revoke", id)
	eventually(t, func() bool { return s.etcdctl(t, "get", "--print-value-only", key) == value+"\n" }, "it is back")
	require.NotEqual(t, id, leaseOf(t, s))
}

// leaseOf returns the id of the only lease.
func leaseOf(tb testing.TB, s *server) string {
	tb.Helper()
	lines := strings.Split(strings.TrimSpace(s.etcdctl(tb, "lease", "list")), "\n")
	require.Equal(tb, "found 1 leases", lines[0])
	return lines[1]
}

func TestARecordPutByHandIsDiscovered(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	r := open(t, registry.Addrs(s.address()))
	require.Empty(t, found(t, r, "legacy"))
	w := watch(t, r, "legacy")
	s.etcdctl(
		t, "put", "/micro/registry/legacy/by-hand",
		`{"name": "legacy", "nodes": [{"id": "by-hand", "address": "10.0.0.7:80"}]}`,
	)
	require.Equal(t, "create by-hand@", next(t, w))
	services, err := r.GetService("legacy")
	require.NoError(t, err)
	require.Equal(t, "10.0.0.7:80", services[0].Nodes[0].Address)
	s.etcdctl(t, "del", "/micro/registry/legacy/by-hand")
	require.Equal(t, "delete by-hand@", next(t, w))
}

func TestTheJSONGatewayReadsAndWritesRecords(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	r := open(t, registry.Addrs(s.address()))
	require.NoError(t, r.Register(service("greeter", "1", "a"), registry.RegisterTTL(time.Minute)))

	var answer struct {
		Kvs []struct{ Key, Value []byte }
	}
	// What ends with a slash ends before the next character, a zero.
	post(t, s, "/v3/kv/range", map[string]any{
		"key": []byte("/micro/registry/"), "range_end": []byte("/micro/registry0"),
	}, &answer)
	require.Len(t, answer.Kvs, 1)
	require.Equal(t, "/micro/registry/greeter/a", string(answer.Kvs[0].Key))
	require.Equal(t, string(encode(t, service("greeter", "1", "a"))), string(answer.Kvs[0].Value))

	post(t, s, "/v3/kv/put", map[string]any{
		"key": []byte("/micro/registry/greeter/b"), "value": []byte(encode(t, service("greeter", "1", "b"))),
	}, nil)
	reaches(t, r, "greeter", "a@1", "b@1")
}

// post asks the gateway, which takes and gives bytes as base64, just as encoding/json does.
func post(tb testing.TB, s *server, path string, request, answer any) {
	tb.Helper()
	body, err := json.Marshal(request)
	require.NoError(tb, err)
	require.Contains(tb, string(body), base64.StdEncoding.EncodeToString([]byte("/micro/registry")))
	ask, err := http.NewRequestWithContext(soon(tb), http.MethodPost, "http://"+s.address()+path, bytes.NewReader(body))
	require.NoError(tb, err)
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(ask)
	require.NoError(tb, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(tb, http.StatusOK, response.StatusCode)
	if answer != nil {
		require.NoError(tb, json.NewDecoder(response.Body).Decode(answer))
	}
}

func TestThroughAProxyInFrontOfACluster(t *testing.T) {
	t.Parallel()
	members := startCluster(t, usual, 3)
	port := freePort(t)
	proxy := startProxy(t, port, members)
	through := open(t, registry.Addrs(loopback(port)))
	direct := open(t, registry.Addrs(addresses(members)))
	exercise(t, "through", through, direct)
	exercise(t, "direct", direct, through)

	require.NoError(t, through.Register(service("greeter", "1", "a"), registry.RegisterTTL(lifetime)))
	reaches(t, direct, "greeter", "a@1")
	reaches(t, through, "greeter", "a@1")
	w, seen := watch(t, through, "greeter"), watch(t, direct, "greeter")
	proxy.kill()
	require.NoError(t, direct.Register(service("greeter", "1", "b"), registry.RegisterTTL(lifetime)))
	for next(t, seen) != "create b@1" { // an echo of a may come first
	}
	require.Equal(t, []string{"a@1"}, found(t, through, "greeter"), "the last good view")
	startProxy(t, port, members)
	for next(t, w) != "create b@1" { // an echo of a may come first
	}
	time.Sleep(2 * lifetime) // a proxy may keep a lease for twice its TTL without anybody renewing it
	require.Equal(t, []string{"a@1", "b@1"}, found(t, direct, "greeter"))
	require.NoError(t, through.Deregister(service("greeter", "1", "a")))
	reaches(t, direct, "greeter", "b@1")
}

func startProxy(tb testing.TB, port int, members []*server) *process {
	tb.Helper()
	return run(tb, exec.CommandContext(context.Background(), binary(tb, usual), "grpc-proxy", "start",
		"--endpoints", addresses(members), "--listen-addr", loopback(port),
		"--advertise-client-url", loopback(port), // where it looks for itself, or it ends after a while
		"--data-dir", tb.TempDir()))
}

// A learner refuses nearly every request, and of four addresses only two are good.
func TestLearnersAndStaleMembersAmongTheAddresses(t *testing.T) {
	t.Parallel()
	members := startCluster(t, usual, 3)
	learner := newServer(t, usual, "http", []string{"--initial-cluster-state", "existing"})
	var added string
	eventually(t, func() bool { // a cluster that is too young refuses members
		var err error
		added, err = command(t, nil, binary(t, "etcdctl36"), "--endpoints", members[0].address(),
			"member", "add", learner.name(), "--learner", "--peer-urls", "http://"+loopback(learner.peer))
		return err == nil
	}, "the learner is added")
	_, conf, ok := strings.Cut(added, `ETCD_INITIAL_CLUSTER="`)
	require.True(t, ok, added)
	conf, _, _ = strings.Cut(conf, `"`)
	learner.args = append(learner.args, "--initial-cluster", conf)
	learner.start(t)
	eventually(t, func() bool {
		return strings.Contains(learner.etcdctl(t, "endpoint", "status"), "false, true")
	}, "the learner is one")
	members[2].stop()

	all := registry.Addrs(learner.address(), members[2].address(), members[0].address(), members[1].address())
	exercise(t, "greeter", open(t, all), open(t, all))
}

func TestAUnixSocket(t *testing.T) {
	t.Parallel()
	socket := "unix://" + socketPath(t)
	s := newServer(t, usual, "http", []string{"--listen-client-urls", socket})
	s.start(t)
	s.awaitHealth(t)
	exercise(t, "greeter", open(t, registry.Addrs(socket)), open(t, registry.Addrs(socket)))
}

func TestAUnixSocketWithTLS(t *testing.T) {
	t.Parallel()
	path, a := socketPath(t), newAuthority(t)
	cert, key := a.issue(t, "server", func(c *x509.Certificate) { c.DNSNames = []string{"etcd.sock"} })
	s := newServer(
		t, usual, "http", []string{"--listen-client-urls", "unixs://" + path, "--cert-file", cert, "--key-file", key},
	)
	s.start(t)
	s.awaitHealth(t)
	files := etcd.TLSFiles(a.ca(), "", "")
	exercise(t, "greeter", open(t, registry.Addrs("unixs://"+path), files), open(t, registry.Addrs("unix://"+path), files))

	otherCert, otherKey := a.issue(t, "other")
	other := socketPath(t)
	s = newServer(t, usual, "http", []string{
		"--listen-client-urls", "unixs://" + other, "--cert-file", otherCert, "--key-file", otherKey,
	})
	s.start(t)
	s.awaitHealth(t)
	refuses(t, "not etcd.sock", registry.Addrs("unixs://"+other), files)
}

// socketPath returns one that is as short as a socket's must be.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "etcd") //nolint:usetesting // t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "etcd.sock")
}

// The life of a registration is the same on every version that is still maintained.
func TestServersOfEveryVersion(t *testing.T) {
	for _, version := range []string{"etcd35", "etcd36", "etcd37"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			onServer(t, startServer(t, version))
		})
	}
}

// onServer goes through a registration's life, and through what heals it.
func onServer(t *testing.T, s *server) {
	t.Helper()
	provider, consumer := open(t, registry.Addrs(s.address())), open(t, registry.Addrs(s.address()))
	exercise(t, "steady", provider, consumer)

	require.NoError(t, provider.Register(service("greeter", "1", "a"), registry.RegisterTTL(time.Minute)))
	reaches(t, consumer, "greeter", "a@1")
	w := watch(t, consumer, "greeter")
	s.etcdctl(t, "del", "--prefix", "/micro/registry/")
	for next(t, w) != "delete a@1" { // what the lookups before the watch may have missed comes first
	}
	require.Equal(t, "create a@1", next(t, w))
	s.etcdctl(t, "lease", "revoke", leaseOf(t, s))
	require.Equal(t, "delete a@1", next(t, w))
	require.Equal(t, "create a@1", next(t, w))

	s.kill()
	require.Equal(t, []string{"a@1"}, found(t, consumer, "greeter"), "the last good view")
	s.start(t)
	s.awaitHealth(t)
	require.NoError(t, provider.Register(service("greeter", "1", "b"), registry.RegisterTTL(time.Minute)))
	for next(t, w) != "create b@1" { // what a lookup of the last minute may have missed comes first
	}
}
