package promises

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func TestP2AThousandImmediateReregistrationsOnThreeMembers(t *testing.T) {
	cluster := etcdtest.StartCluster(t, 3)
	provider, consumer := open(t, cluster.Endpoints()), open(t, cluster.Endpoints())
	client := cluster.Client(t)
	s := service("greeter", "1", "a")
	key, _ := record(t, s)
	require.NoError(t, provider.Register(s, registry.RegisterTTL(time.Minute)))
	w := watch(t, consumer, registry.WatchService("greeter"))
	for i := range 1000 {
		require.NoError(t, provider.Deregister(s), i)
		require.NoError(t, provider.Register(s, registry.RegisterTTL(time.Minute)), i)
		if i%50 == 0 {
			got, err := client.Get(ctx(t), key)
			require.NoError(t, err)
			require.Len(t, got.Kvs, 1, i)
			require.NotZero(t, got.Kvs[0].Lease)
		}
	}
	for i := range 1000 {
		require.Equal(t, "delete", next(t, w).Action, i)
		require.Equal(t, "create", next(t, w).Action, i)
	}
	require.Equal(t, 1, nodes(t, consumer, "greeter"))
	eventually(t, func() bool { return leases(t, client) == 1 }, "one lease")
}

func TestP3AToolMayDeregisterWhatItNeverRegistered(t *testing.T) {
	srv := etcdtest.Start(t)
	provider, tool := open(t, srv.Endpoints()), open(t, srv.Endpoints())
	require.NoError(t, provider.Register(service("greeter", "1", "a"), registry.RegisterTTL(0)))
	require.Equal(t, 1, nodes(t, tool, "greeter"))
	key, value := record(t, service("stale", "1", "ghost"))
	_, err := srv.Client(t).Put(ctx(t), key, value)
	require.NoError(t, err)
	require.Equal(t, 1, nodes(t, tool, "stale"))
	require.NoError(t, tool.Deregister(service("stale", "1", "ghost")))
	require.Equal(t, 0, nodes(t, tool, "stale"), "own writes are visible at once")
}

func TestP2ManyGoroutinesAndProcessesBesideEachOther(t *testing.T) {
	srv := etcdtest.Start(t)
	consumer := open(t, srv.Endpoints())
	watch(t, consumer)
	var wg sync.WaitGroup
	for p := range 4 {
		r := open(t, srv.Endpoints())
		for g := range 10 {
			wg.Go(func() {
				s := service("greeter", fmt.Sprint(g%3), fmt.Sprintf("%d-%d", p, g))
				for range 5 {
					if err := r.Register(s, registry.RegisterTTL(time.Minute)); err != nil {
						t.Error(err)
					}
					if err := r.Deregister(s); err != nil {
						t.Error(err)
					}
				}
				if err := r.Register(s, registry.RegisterTTL(time.Minute)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	eventually(t, func() bool { return nodes(t, consumer, "greeter") == 40 }, "40 nodes")
	listed, err := consumer.ListServices()
	require.NoError(t, err)
	require.Len(t, listed, 3)
	client := srv.Client(t)
	eventually(t, func() bool { return leases(t, client) == 40 }, "40 leases")
}

func TestP7ServicesThatShareADirectoryDontTakeEachOthersNodes(t *testing.T) {
	srv := etcdtest.Start(t)
	r := open(t, srv.Endpoints())
	require.NoError(t, r.Register(service("a/b", "1", "same"), registry.RegisterTTL(time.Minute)))
	require.ErrorIs(t, r.Register(service("a-b", "1", "same"), registry.RegisterTTL(time.Minute)), etcd.ErrNodeID)
	require.ErrorIs(t, r.Deregister(service("a-b", "1", "same")), etcd.ErrNodeID)
	require.NoError(t, r.Register(service("a-b", "1", "other"), registry.RegisterTTL(time.Minute)))
	require.Equal(t, 1, nodes(t, r, "a/b"))
	require.Equal(t, 1, nodes(t, r, "a-b"))
}

func TestP2ARegisterThatEndsAsEtcdAnswersIsNotPendingForEver(t *testing.T) {
	srv := etcdtest.Start(t)
	r := open(t, srv.Endpoints(), registry.Timeout(4*time.Millisecond))
	for i := range 200 {
		s := service("greeter", fmt.Sprint(i), "n")
		brief, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
		err := r.Register(s, registry.RegisterTTL(time.Minute), registry.RegisterContext(brief))
		cancel()
		if err != nil {
			eventually(t, func() bool { return r.Register(s, registry.RegisterTTL(time.Minute)) == nil }, "the repeat succeeds")
		}
	}
	require.NoError(t, r.Init(registry.Timeout(time.Minute))) // for Close
}

func TestP2AWriteLostWithTheLeaderIsTriedAgain(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.StartCluster(t, 3)
	r := open(t, cluster.Endpoints(), registry.Timeout(30*time.Second))
	require.NoError(t, r.Register(service("greeter", "1", "n"), registry.RegisterTTL(time.Minute)))
	cluster.Leader().Stop()
	within(t, 10*time.Second, "Register", func() {
		require.NoError(t, r.Register(service("greeter", "2", "n"), registry.RegisterTTL(time.Minute)))
	})
}

func TestP3DeregisterWorksWithAContextThatHasEnded(t *testing.T) {
	srv := etcdtest.Start(t)
	r := open(t, srv.Endpoints())
	s := service("greeter", "1", "n")
	require.NoError(t, r.Register(s, registry.RegisterTTL(time.Minute)))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.Deregister(s, registry.DeregisterContext(over)), context.Canceled)
	eventually(t, func() bool { return leases(t, srv.Client(t)) == 0 }, "it is deregistered all the same")
	require.Zero(t, nodes(t, r, "greeter"))
}
