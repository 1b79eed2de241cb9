package promises

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// within fails the test when f takes longer than it may; with some slack, because the machine may be busy.
func within(tb testing.TB, d time.Duration, what string, f func()) {
	tb.Helper()
	began := time.Now()
	f()
	require.Less(tb, time.Since(began), d+time.Second, what)
}

func TestP6EveryCallIsBoundedWhileEtcdIsAway(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	const timeout = time.Second
	r := open(t, srv.Endpoints(), registry.Timeout(timeout))
	known, fresh := service("greeter", "1", "a"), service("fresh", "1", "b", "c", "d")
	ttl := registry.RegisterTTL(time.Minute)
	require.NoError(t, r.Register(known, ttl))
	require.Equal(t, 1, nodes(t, r, "greeter"))
	srv.Stop()

	within(t, 0, "a known lookup", func() { require.Equal(t, 1, nodes(t, r, "greeter")) })
	within(t, timeout, "an unknown lookup", func() {
		_, err := r.GetService("unknown")
		require.Error(t, err)
		require.NotErrorIs(t, err, registry.ErrNotFound)
		require.ErrorContains(t, err, "refused", "the error says what is wrong")
	})
	within(t, timeout, "ListServices", func() {
		_, err := r.ListServices()
		require.Error(t, err)
	})
	within(t, timeout, "Register", func() { require.ErrorIs(t, r.Register(fresh, ttl), etcd.ErrPending) })
	within(t, 0, "Register again", func() { require.ErrorIs(t, r.Register(fresh, ttl), etcd.ErrPending) })
	var w registry.Watcher
	within(t, timeout, "Watch", func() { w = watch(t, r, registry.WatchService("fresh")) })
	within(t, timeout, "Deregister", func() { require.Error(t, r.Deregister(known)) })

	require.NoError(t, srv.Restart())
	for range 3 {
		require.Equal(t, "create", next(t, w).Action, "the pending registration is made")
	}
	eventually(t, func() bool { return nodes(t, r, "greeter") == 0 }, "the failed Deregister is done")
	srv.Stop()
	within(t, timeout, "Close", func() { require.Error(t, r.Close()) })
	for what, call := range map[string]func() error{
		"Register":   func() error { return r.Register(known) },
		"Deregister": func() error { return r.Deregister(known) },
		"Init":       func() error { return r.Init() },
		"GetService": func() error { _, err := r.GetService("greeter"); return err },
		"List":       func() error { _, err := r.ListServices(); return err },
		"Watch":      func() error { _, err := r.Watch(); return err },
	} {
		require.ErrorIs(t, call(), etcd.ErrClosed, what)
	}
	_, err := w.Next()
	require.ErrorIs(t, err, registry.ErrWatcherStopped)
}

func TestP6AWatchContextDoesNotKeepWatchWaiting(t *testing.T) {
	r := open(t, []string{"127.0.0.1:1"}, registry.Timeout(100*time.Millisecond))
	life, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	within(t, 100*time.Millisecond, "Watch", func() { watch(t, r, registry.WatchContext(life)) })
}

func TestP6GoMicrosServerStopsWhileEtcdIsAway(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	const timeout = 2 * time.Second
	r := open(t, srv.Endpoints(), registry.Timeout(timeout))
	s := server.NewServer(
		server.Name("greeter"), server.Registry(r), server.Address("127.0.0.1:0"), server.WithLogger(newLog()),
		server.RegisterTTL(time.Minute), server.RegisterInterval(time.Second),
	)
	require.NoError(t, s.Start())
	require.Equal(t, 1, nodes(t, r, "greeter"))
	srv.Stop()
	eventually(t, func() bool { return !r.Status().Connected }, "the connection is lost")
	within(t, 2*timeout+3*time.Second, "server.Stop", func() { require.NoError(t, s.Stop()) })
}

func TestP6ManyUnknownNamesDontGrowAnything(t *testing.T) {
	metrics := make(chan string, 1)
	srv := etcdtest.Start(t, exposeMetrics(metrics))
	r := open(t, srv.Endpoints())
	require.Zero(t, nodes(t, r, "first"))
	before := goroutines()
	for i := range 3000 {
		require.Zero(t, nodes(t, r, fmt.Sprintf("unknown-%d", i)))
	}
	goroutinesEnd(t, before, 1000+20)
	require.LessOrEqual(t, len(r.Status().Followed), 1001)
	url := <-metrics
	eventually(t, func() bool { return watchers(t, url) <= 1001 }, "etcd's watches")

	require.NoError(t, r.Register(service("unknown-2999", "1", "a"), registry.RegisterTTL(time.Minute)))
	require.Equal(t, 1, nodes(t, r, "unknown-2999"), "one beyond the bound is found all the same")
}
