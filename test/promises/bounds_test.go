package promises

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func clientv3Lease(id int64) clientv3.LeaseID { return clientv3.LeaseID(id) }

// within fails the test when f takes longer than it may; with some slack, because the
// machine may be busy.
func within(t testing.TB, d time.Duration, what string, f func()) {
	t.Helper()
	began := time.Now()
	f()
	require.Less(t, time.Since(began), d+time.Second, what)
}

func TestP6EveryCallIsBoundedWhileEtcdIsAway(t *testing.T) {
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

func TestP6GoMicrosServerStopsWhileEtcdIsAway(t *testing.T) {
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
	settled(t, before, 1000+20)
	require.LessOrEqual(t, len(r.Status().Followed), 1001)
	url := <-metrics
	eventually(t, func() bool { return watchers(t, url) <= 1001 }, "etcd's watches")

	require.NoError(t, r.Register(service("unknown-2999", "1", "a"), registry.RegisterTTL(time.Minute)))
	require.Equal(t, 1, nodes(t, r, "unknown-2999"), "one beyond the bound is found all the same")
}

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
	settled(t, before, 0)
	require.Zero(t, leases(t, client))
	eventually(t, func() bool { return watchers(t, url) == 0 }, "etcd's watches")
}

// exposeMetrics makes a server serve its metrics, and sends where.
func exposeMetrics(at chan<- string) etcdtest.Option {
	return func(c *embed.Config) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return
		}
		_ = l.Close()
		u := url.URL{Scheme: "http", Host: l.Addr().String()}
		c.ListenMetricsUrls = []url.URL{u}
		select {
		case at <- u.String():
		default:
		}
	}
}

// watchers reads how many watches etcd has.
func watchers(t testing.TB, url string) int {
	t.Helper()
	return metric(t, url, "etcd_debugging_mvcc_watcher_total")
}

// metric reads one of etcd's metrics, named with its labels.
func metric(t testing.TB, url, name string) int {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url + "/metrics")
	require.NoError(t, err)
	defer func() { require.NoError(t, answer.Body.Close()) }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			var n float64
			_, err = fmt.Sscan(value, &n)
			require.NoError(t, err)
			return int(n)
		}
	}
	require.FailNow(t, "etcd has no such metric", name)
	return 0
}

func TestP7ARecordThatIsTooLargeIsRefusedAndTheOneBeforeStays(t *testing.T) {
	srv := etcdtest.Start(t)
	r := open(t, srv.Endpoints())
	for _, size := range []int{1_600_000, 3_000_000} {
		s := service("greeter", "1", "a")
		require.NoError(t, r.Register(s, registry.RegisterTTL(time.Minute)))
		big := service("greeter", "1", "a")
		big.Metadata["blob"] = strings.Repeat("x", size)
		err := r.Register(big, registry.RegisterTTL(time.Minute))
		require.ErrorIs(t, err, etcd.ErrTooLarge)
		require.ErrorContains(t, err, "greeter/a")
		require.NotErrorIs(t, err, etcd.ErrPending)
		require.NoError(t, r.Register(s, registry.RegisterTTL(time.Minute)))
		got, err := r.GetService("greeter")
		require.NoError(t, err)
		require.Equal(t, []*registry.Service{s}, got)
		require.NoError(t, r.Deregister(s))
		require.ErrorIs(t, r.Register(big, registry.RegisterTTL(time.Minute)), etcd.ErrTooLarge)
		require.Zero(t, nodes(t, r, "greeter"))
		eventually(t, func() bool { return leases(t, srv.Client(t)) == 0 }, "the refused record's lease goes")
	}
}
