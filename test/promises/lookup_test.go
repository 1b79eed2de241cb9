package promises

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func TestP4ALookupAndALaterWatchMissNothing(t *testing.T) {
	srv := etcdtest.Start(t)
	provider, consumer := open(t, srv.Endpoints()), open(t, srv.Endpoints())
	for i := range 100 {
		s := service(fmt.Sprintf("greeter-%d", i), "1", "gone", "stays")
		require.NoError(t, provider.Register(s, registry.RegisterTTL(time.Minute)))
		require.Equal(t, 2, nodes(t, consumer, s.Name))
		gone := service(s.Name, "1", "gone")
		require.NoError(t, provider.Deregister(gone))
		eventually(t, func() bool { return nodes(t, consumer, s.Name) == 1 }, "the view follows")
		w := watch(t, consumer, registry.WatchService(s.Name))
		res := next(t, w)
		require.Equal(t, "delete", res.Action)
		require.Equal(t, gone, res.Service)
		w.Stop()
	}
}

// lookThenWatch looks n up in some way while a watcher keeps its view, lets the node go, and wants a later watcher to
// be told.
func lookThenWatch(t *testing.T, look func(*etcd.Registry), opts ...registry.WatchOption) {
	t.Helper()
	srv := etcdtest.Start(t)
	provider, consumer := open(t, srv.Endpoints()), open(t, srv.Endpoints())
	s := service("greeter", "1", "n")
	require.NoError(t, provider.Register(s, registry.RegisterTTL(time.Minute)))
	first := watch(t, consumer, opts...)
	watch(t, consumer, registry.WatchService("greeter"))
	look(consumer)
	require.NoError(t, provider.Deregister(s))
	require.Equal(t, "delete", next(t, first).Action)
	require.Equal(t, "delete", next(t, watch(t, consumer, opts...)).Action)
}

func TestP4ALookupOfOneServiceCountsForAWatcherOfAll(t *testing.T) {
	lookThenWatch(t, func(r *etcd.Registry) { require.Equal(t, 1, nodes(t, r, "greeter")) })
}

func TestP4ALinearizableLookupCounts(t *testing.T) {
	lookThenWatch(t, func(r *etcd.Registry) {
		_, err := r.GetService("greeter", etcd.Linearizable())
		require.NoError(t, err)
	}, registry.WatchService("greeter"))
}

func TestP4ALookupCountsBesideManyUnknownNames(t *testing.T) {
	srv := etcdtest.Start(t)
	provider, consumer := open(t, srv.Endpoints()), open(t, srv.Endpoints())
	s := service("greeter", "1", "n")
	require.NoError(t, provider.Register(s, registry.RegisterTTL(time.Minute)))
	for i := range 70 {
		require.Zero(t, nodes(t, consumer, fmt.Sprint("unknown-", i)))
	}
	require.Equal(t, 1, nodes(t, consumer, "greeter"))
	require.NoError(t, provider.Deregister(s))
	eventually(t, func() bool { return nodes(t, consumer, "greeter") == 0 }, "the view follows")
	for range 3 { // each leaves the service without watchers and without nodes
		w := watch(t, consumer, registry.WatchService("greeter"))
		require.Equal(t, "delete", next(t, w).Action)
		w.Stop()
	}
}

func TestP4AnUnknownNameBeyondTheBoundIsToldToEveryWatcher(t *testing.T) {
	srv := etcdtest.Start(t)
	provider, consumer := open(t, srv.Endpoints()), open(t, srv.Endpoints())
	for i := range 70 {
		require.Zero(t, nodes(t, consumer, fmt.Sprint("unknown-", i)))
	}
	require.Zero(t, nodes(t, consumer, "greeter"))
	require.NoError(t, provider.Register(service("greeter", "1", "n"), registry.RegisterTTL(time.Minute)))
	for range 2 {
		w := watch(t, consumer, registry.WatchService("greeter"))
		require.Equal(t, "n", next(t, w).Service.Nodes[0].Id)
	}
}
