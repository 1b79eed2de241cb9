// Package promises tests what registry/etcd promises (P1 to P7 in its package documentation) against real etcd
// processes, where it goes beyond the conformance kit.
package promises

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/goleak"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/leak"
)

// patience is how long a test waits for what must happen soon.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	resolve()
	leak.Verify(m, goleak.IgnoreAnyFunction("go-micro.dev/v4/registry/cache.(*cache).run")) // it sleeps 10 s after Stop
}

type recorder struct {
	logger.Logger
	lines chan string
}

// newLog returns a go-micro logger that keeps what it is given.
func newLog() *recorder {
	return &recorder{Logger: logger.NewLogger(), lines: make(chan string, 10_000)}
}

func (r *recorder) Logf(_ logger.Level, format string, args ...any) {
	r.lines <- fmt.Sprintf(format, args...)
}

func (r *recorder) Log(_ logger.Level, args ...any) { r.lines <- fmt.Sprint(args...) }

func open(tb testing.TB, endpoints []string, opts ...registry.Option) *etcd.Registry {
	tb.Helper()
	opts = append([]registry.Option{registry.Addrs(endpoints...), registry.Logger(newLog())}, opts...)
	r, err := etcd.New(opts...)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = r.Close() })
	return r
}

func service(name, version string, ids ...string) *registry.Service {
	s := &registry.Service{
		Name:     name,
		Version:  version,
		Metadata: map[string]string{"team": "blue"},
		Endpoints: []*registry.Endpoint{{
			Name: "Greeter.Hello",
			Request: &registry.Value{
				Name: "Request", Type: "Request", Values: []*registry.Value{{Name: "name", Type: "string"}},
			},
			Response: &registry.Value{Name: "Response", Type: "Response"},
			Metadata: map[string]string{"stream": "false"},
		}},
	}
	for i, id := range ids {
		s.Nodes = append(s.Nodes, &registry.Node{
			Id: id, Address: fmt.Sprintf("10.0.0.%d:8080", i+1), Metadata: map[string]string{"zone": "a"},
		})
	}
	return s
}

// record is what the official plugin writes for a service with one node.
func record(tb testing.TB, s *registry.Service) (key, value string) {
	tb.Helper()
	b, err := json.Marshal(s)
	require.NoError(tb, err)
	return etcd.DefaultPrefix + s.Name + "/" + s.Nodes[0].Id, string(b)
}

// next returns the next result, or fails the test when there is none.
func next(tb testing.TB, w registry.Watcher) *registry.Result {
	tb.Helper()
	type answer struct {
		result *registry.Result
		err    error
	}
	got := make(chan answer, 1)
	go func() {
		r, err := w.Next()
		got <- answer{r, err}
	}()
	select {
	case a := <-got:
		require.NoError(tb, a.err)
		return a.result
	case <-time.After(patience):
		w.Stop()
		<-got
		require.FailNow(tb, "no result")
		return nil
	}
}

func watch(tb testing.TB, r registry.Registry, opts ...registry.WatchOption) registry.Watcher {
	tb.Helper()
	w, err := r.Watch(opts...)
	require.NoError(tb, err)
	tb.Cleanup(w.Stop)
	return w
}

// eventually asks in the test's own goroutine, unlike require.Eventually: so a condition may fail the test.
func eventually(tb testing.TB, condition func() bool, what string) {
	tb.Helper()
	tick, over := time.NewTicker(5*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-over:
			require.FailNow(tb, "it doesn't become true", what)
		}
	}
}

func nodes(tb testing.TB, r registry.Registry, name string) int {
	tb.Helper()
	services, err := r.GetService(name)
	if err != nil {
		require.ErrorIs(tb, err, registry.ErrNotFound)
	}
	n := 0
	for _, s := range services {
		n += len(s.Nodes)
	}
	return n
}

func ctx(tb testing.TB) context.Context {
	tb.Helper()
	c, cancel := context.WithTimeout(context.Background(), patience)
	tb.Cleanup(cancel)
	return c
}

func leases(tb testing.TB, c *clientv3.Client) int {
	tb.Helper()
	all, err := c.Leases(ctx(tb))
	require.NoError(tb, err)
	return len(all.Leases)
}

// goroutines returns those of registries and of their clients, whose connections have some of gRPC's. The embedded
// server has others, which come and go.
func goroutines() []string {
	all := make([]byte, 1<<20)
	for runtime.Stack(all, true) == len(all) {
		all = make([]byte, 2*len(all))
	}
	var ours []string
	for stack := range strings.SplitSeq(string(all[:runtime.Stack(all, true)]), "\n\n") {
		if strings.Contains(stack, "micro-etcd/registry/etcd.") || strings.Contains(stack, "micro-etcd/internal/") ||
			strings.Contains(stack, "etcd/client/v3.") || strings.Contains(stack, "CallbackSerializer") {
			ours = append(ours, stack)
		}
	}
	return ours
}

// goroutinesEnd waits until there are no more goroutines than before, but for a few.
func goroutinesEnd(tb testing.TB, before []string, slack int) {
	tb.Helper()
	for began := time.Now(); len(goroutines()) > len(before)+slack; time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > patience {
			now := goroutines()
			require.FailNow(
				tb, "goroutines go on", "%d, where %d were before\n%s", len(now), len(before), strings.Join(now, "\n\n"),
			)
		}
	}
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
func watchers(tb testing.TB, url string) int {
	tb.Helper()
	return metric(tb, url, "etcd_debugging_mvcc_watcher_total")
}

// metric reads one of etcd's metrics, named with its labels.
func metric(tb testing.TB, url, name string) int {
	tb.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url + "/metrics")
	require.NoError(tb, err)
	defer func() { require.NoError(tb, answer.Body.Close()) }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(tb, err)
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			var n float64
			_, err = fmt.Sscan(value, &n)
			require.NoError(tb, err)
			return int(n)
		}
	}
	require.FailNow(tb, "etcd has no such metric", name)
	return 0
}
