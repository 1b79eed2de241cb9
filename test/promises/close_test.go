package promises

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func TestP6OpeningAndClosingLeavesNothingBehind(t *testing.T) {
	metrics := make(chan string, 1)
	srv := etcdtest.Start(t, exposeMetrics(metrics))
	url := <-metrics
	client := srv.Client(t)
	_, err := client.Get(ctx(t), "x")
	require.NoError(t, err)
	before := goroutines()
	for i := range 200 {
		r := open(t, srv.Endpoints())
		w := watch(t, r)
		require.NoError(t, r.Register(service("greeter", "1", fmt.Sprint(i)), registry.RegisterTTL(time.Minute)))
		require.Equal(t, "create", next(t, w).Action)
		require.Equal(t, 1, nodes(t, r, "greeter"))
		if i%2 == 0 {
			w.Stop()
		}
		require.NoError(t, r.Close())
		_, err := w.Next()
		require.ErrorIs(t, err, registry.ErrWatcherStopped)
	}
	goroutinesEnd(t, before, 0)
	require.Zero(t, leases(t, client))
	eventually(t, func() bool { return watchers(t, url) == 0 }, "etcd's watches")
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
