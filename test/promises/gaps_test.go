package promises

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// These are faults that a review or an attack found once.

// lookThenWatch looks n up in some way while a watcher keeps its view, lets the node go,
// and wants a later watcher to be told.
func lookThenWatch(t *testing.T, look func(*etcd.Registry), opts ...registry.WatchOption) {
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

func TestP4ALookUpOfOneServiceCountsForAWatcherOfAll(t *testing.T) {
	lookThenWatch(t, func(r *etcd.Registry) { require.Equal(t, 1, nodes(t, r, "greeter")) })
}

func TestP4ALinearizableLookUpCounts(t *testing.T) {
	lookThenWatch(t, func(r *etcd.Registry) {
		_, err := r.GetService("greeter", etcd.Linearizable())
		require.NoError(t, err)
	}, registry.WatchService("greeter"))
}

func TestP4ALookUpCountsBesideManyUnknownNames(t *testing.T) {
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
	cluster := etcdtest.StartCluster(t, 3)
	r := open(t, cluster.Endpoints(), registry.Timeout(30*time.Second))
	require.NoError(t, r.Register(service("greeter", "1", "n"), registry.RegisterTTL(time.Minute)))
	cluster.Leader().Stop()
	within(t, 10*time.Second, "Register", func() {
		require.NoError(t, r.Register(service("greeter", "2", "n"), registry.RegisterTTL(time.Minute)))
	})
}

func TestP6RegisterBesideCloseLeavesNothingBehind(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	for round := range 20 {
		r := open(t, srv.Endpoints())
		require.Zero(t, nodes(t, r, "warm"))
		started := make(chan struct{}, 100)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				started <- struct{}{}
				_ = r.Register(service("greeter", "1", fmt.Sprint(round, "-", i))) // may be too late
			})
		}
		for range round * 5 {
			<-started
		}
		require.NoError(t, r.Close())
		wg.Wait()
		left, err := client.Get(ctx(t), etcd.DefaultPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
		require.NoError(t, err)
		require.Zero(t, left.Count, round)
	}
}

func TestP6CallsUnderWaySayThatTheRegistryWasClosed(t *testing.T) {
	r := open(t, []string{"127.0.0.1:1"})
	calls := []func() error{
		func() error { _, err := r.ListServices(); return err },
		func() error { _, err := r.GetService("greeter"); return err },
		func() error { _, err := r.GetService("greeter", etcd.Linearizable()); return err },
		func() error { return r.Deregister(service("greeter", "1", "n")) },
		func() error { return r.Register(service("greeter", "1", "m")) },
	}
	errs := make(chan error)
	for _, call := range calls {
		go func() { errs <- call() }()
	}
	eventually(t, func() bool { return len(r.Status().Registrations) == 1 }, "Register is under way")
	_ = r.Close()
	for range calls {
		require.ErrorIs(t, <-errs, etcd.ErrClosed)
	}
}

func TestP6AWatchContextDoesNotKeepWatchWaiting(t *testing.T) {
	r := open(t, []string{"127.0.0.1:1"}, registry.Timeout(100*time.Millisecond))
	life, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	within(t, 100*time.Millisecond, "Watch", func() { watch(t, r, registry.WatchContext(life)) })
}

func TestP7ARefusedRegisterDoesNotTouchTheRecordBefore(t *testing.T) {
	srv := etcdtest.Start(t)
	r, consumer := open(t, srv.Endpoints()), open(t, srv.Endpoints())
	require.NoError(t, r.Register(service("greeter", "1", "n"), registry.RegisterTTL(10*time.Second)))
	w := watch(t, consumer)
	big := service("greeter", "1", "n")
	big.Metadata["blob"] = strings.Repeat("x", 3<<20)
	require.ErrorIs(t, r.Register(big, registry.RegisterTTL(20*time.Second)), etcd.ErrTooLarge)
	require.NoError(t, r.Register(service("greeter", "1", "n"), registry.RegisterTTL(10*time.Second)))
	require.NoError(t, r.Register(service("greeter", "1", "last")))
	for {
		res := next(t, w)
		require.NotEqual(t, "delete", res.Action)
		if res.Service.Nodes[0].Id == "last" {
			return
		}
	}
}

func TestP7ATTLBeyondEtcdsIsRefused(t *testing.T) {
	r := open(t, []string{"127.0.0.1:1"})
	for _, ttl := range []time.Duration{-1, 1<<63 - 1} {
		require.ErrorIs(t, r.Register(service("greeter", "1", "n"), registry.RegisterTTL(ttl)), etcd.ErrTTL)
	}
}

func TestP3WhatIsLeftAtTheOldClusterGoesWithItsTTL(t *testing.T) {
	a, b := etcdtest.Start(t), etcdtest.Start(t)
	r := open(t, a.Endpoints())
	require.NoError(t, r.Register(service("greeter", "1", "n1", "n2"), registry.RegisterTTL(3*time.Second)))
	require.NoError(t, r.Init(registry.Addrs(b.Endpoints()...)))
	for client, want := range map[*clientv3.Client]int{a.Client(t): 0, b.Client(t): 2} {
		eventually(t, func() bool { return keys(t, client, etcd.DefaultPrefix) == want }, "records are only at the new cluster")
	}
	require.Zero(t, leases(t, a.Client(t)))
}

func TestP6AWrongPasswordIsToldAtOnceAndNotTriedAtEveryCall(t *testing.T) {
	metrics := make(chan string, 1)
	srv := etcdtest.Start(t, exposeMetrics(metrics))
	url := <-metrics
	client := srv.Client(t)
	for _, step := range []func() error{
		func() error { _, err := client.UserAdd(ctx(t), "root", "right"); return err },
		func() error { _, err := client.UserGrantRole(ctx(t), "root", "root"); return err },
		func() error { _, err := client.AuthEnable(ctx(t)); return err },
	} {
		require.NoError(t, step())
	}
	r := open(t, srv.Endpoints(), etcd.Auth("root", "wrong"), registry.Timeout(time.Minute))
	for range 1000 {
		_, err := r.GetService("greeter")
		require.ErrorContains(t, err, "authentication failed")
	}
	authentications := metric(t, url, `grpc_server_started_total{grpc_method="Authenticate",grpc_service="etcdserverpb.Auth",grpc_type="unary"}`)
	require.Positive(t, authentications)
	require.Less(t, authentications, 20)
	require.NoError(t, r.Init(etcd.Auth("root", "right")))
	require.NoError(t, r.Register(service("greeter", "1", "n")))
	require.Equal(t, 1, nodes(t, r, "greeter"))
	require.NoError(t, r.Close())
}
