package metrics

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func port(tb testing.TB, srv *etcdtest.Server) string {
	tb.Helper()
	_, port, err := net.SplitHostPort(srv.Endpoint())
	require.NoError(tb, err)
	return port
}

func TestLookupsBySource(t *testing.T) {
	srv := etcdtest.Start(t)
	put(t, srv.Client(t), key("a"), record(t, "a"))
	r, m := measured(t, srv)
	require.Equal(t, 1, look(t, r))
	require.Equal(t, 1, m.count("lookups", "source", "remote"))
	for range 100 {
		require.Equal(t, 1, look(t, r))
	}
	require.Equal(t, 1, look(t, r, etcd.Linearizable()))
	_, err := r.GetService("nobody")
	require.ErrorIs(t, err, registry.ErrNotFound)
	_, err = r.GetService("nobody")
	require.ErrorIs(t, err, registry.ErrNotFound)
	require.Equal(t, 3, m.count("lookups", "source", "remote"))
	require.Equal(t, 101, m.count("lookups", "source", "local"), "nobody is followed too")
	require.Zero(t, m.value("lookups", "source", "stale"))

	srv.Stop()
	m.reaches(2, "view.count", "state", "stale")
	require.Equal(t, 1, look(t, r))
	require.Equal(t, 1, m.count("lookups", "source", "stale"))
	require.NoError(t, srv.Restart())
	m.reaches(2, "view.count", "state", "current")
	require.Equal(t, 1, look(t, r))
	require.Equal(t, 102, m.count("lookups", "source", "local"))
}

func TestViews(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	put(t, client, key("a"), record(t, "a"))
	r, m := measured(t, srv, registry.Timeout(time.Second))
	require.Equal(t, 1, look(t, r))
	require.Equal(t, 1, m.count("view.count", "state", "current"))
	require.Zero(t, m.value("view.staleness"))
	before := m.count("view.revision")
	require.Positive(t, before)
	put(t, client, key("b"), record(t, "b"))
	m.reaches(before+1, "view.revision")

	srv.Stop()
	m.reaches(1, "view.count", "state", "stale")
	m.rises(0.1, "view.staleness")
	_, err := r.GetService("new")
	require.Error(t, err)
	w, err := r.Watch(registry.WatchService("new"))
	require.NoError(t, err)
	defer w.Stop()
	m.reaches(1, "view.count", "state", "unready")
	require.NoError(t, srv.Restart())
	m.reaches(2, "view.count", "state", "current")
	require.Zero(t, m.value("view.staleness"))
}

func TestListsByCause(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	put(t, client, key("a"), record(t, "a"))
	r, m := measured(t, srv)
	require.Equal(t, 1, look(t, r))
	require.Equal(t, 1, m.count("view.lists", "cause", "first"))
	m.reaches(1, "requests", "rpc.method", "Watch")
	require.NoError(t, r.Init(registry.Addrs("localhost:"+port(t, srv))))
	m.reaches(1, "view.lists", "cause", "client_replaced")
	m.reaches(2, "requests", "rpc.method", "Watch")

	srv.Stop()
	require.NoError(t, srv.Restart())
	m.rises(0, "view.lists", "cause", "watch_ended")
	m.rises(0, "requests", "rpc.method", "Watch", "error.type", "UNAVAILABLE")
	require.Equal(t, 1, m.count("view.lists", "cause", "first"))
}

func TestEvents(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	r, m := measured(t, srv)
	require.Zero(t, look(t, r))
	put(t, client, key("a"), record(t, "a"))
	put(t, client, key("b"), record(t, "b"))
	del(t, client, key("a"))
	m.reaches(1, "events", "type", "delete")
	require.Equal(t, 2, m.count("events", "type", "put"))
}

func TestWatchers(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	r, m := measured(t, srv)
	idle, err := r.Watch()
	require.NoError(t, err)
	read, err := r.Watch(registry.WatchService("greeter"))
	require.NoError(t, err)
	require.Equal(t, 2, m.count("watcher.count"))
	for _, id := range []string{"a", "b", "c"} {
		put(t, client, key(id), record(t, id))
	}
	for range 3 {
		_, err := read.Next()
		require.NoError(t, err)
	}
	m.reaches(3, "watcher.queue.length")
	_, err = idle.Next()
	require.NoError(t, err)
	require.Equal(t, 2, m.count("watcher.queue.length"))
	idle.Stop()
	read.Stop()
	m.reaches(0, "watcher.count")
	m.reaches(0, "watcher.queue.length")
}

func TestMalformedRecords(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	put(t, client, key("a"), "junk")
	r, m := measured(t, srv)
	require.Zero(t, look(t, r))
	require.Equal(t, 1, m.count("malformed_records"))
	put(t, client, key("b"), `{"nodes": 7}`)
	m.reaches(2, "malformed_records")
}
