package promises

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/registry/cache"
	"go-micro.dev/v4/selector"
	"go-micro.dev/v4/server"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/relay"
)

// selectors are those that a client may have: ours, and go-micro's own, which has a cache in front of the registry.
var selectors = map[string]func(...selector.Option) selector.Selector{
	"ours":       func(opts ...selector.Option) selector.Selector { return etcd.NewSelector(opts...) },
	"go-micro's": selector.NewSelector,
}

// A client of real calls is started anew while etcd refuses connections, or hangs.
func TestP5AClientThatStartsWhileEtcdIsAwayGoesOnCalling(t *testing.T) {
	t.Parallel()
	for away, begin := range map[string]func(*relay.Relay){
		"refuses": func(r *relay.Relay) { r.Refuse() },
		"hangs":   func(r *relay.Relay) { mute(r.Link) },
	} {
		for name, newSelector := range selectors {
			t.Run("etcd "+away+", selector "+name, func(t *testing.T) {
				t.Parallel()
				srv, dir := etcdtest.Start(t), t.TempDir()
				s := server.NewServer(
					server.Name("greeter"), server.Id("1"), server.Registry(open(t, srv.Endpoints())),
					server.Address("127.0.0.1:0"), server.WithLogger(newLog()), server.Broker(broker.NewMemoryBroker()),
					server.RegisterTTL(time.Minute),
				)
				require.NoError(t, s.Handle(s.NewHandler(Greeter{&Debug{}})))
				require.NoError(t, s.Start())
				r, err := relay.Start("127.0.0.1:0", srv.Endpoint(), relay.NewLink(), nil)
				require.NoError(t, err)
				t.Cleanup(r.End)
				call := func() (*etcd.Registry, func() error) {
					consumer := open(t, []string{r.Address()}, etcd.CacheDir(dir))
					picks := newSelector(selector.Registry(consumer))
					t.Cleanup(func() { _ = picks.Close() })
					c := client.NewClient(client.Registry(consumer), client.Selector(picks))
					return consumer, func() error {
						ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
						defer cancel()
						hello := c.NewRequest("greeter", "Greeter.Hello", &Request{}, client.WithContentType("application/json"))
						return c.Call(ctx, hello, &Response{})
					}
				}
				before, hello := call()
				eventually(t, func() bool { return hello() == nil }, "it calls") // go-micro loses an answer now and then
				require.NoError(t, before.Close())
				begin(r)
				after, hello := call()
				eventually(t, func() bool { return hello() == nil }, "its successor calls")
				require.NotZero(t, after.Status().Followed[0].Cached)
				r.Link.Heal()
				require.NoError(t, r.Accept())
				eventually(t, func() bool { return after.Ready() == nil }, "etcd is back")
				require.Zero(t, after.Status().Followed[0].Cached)
				require.NoError(t, s.Stop())
				eventually(t, func() bool { return nodes(t, after, "greeter") == 0 }, "it follows")
			})
		}
	}
}

// What only a file knew is told to go-micro's cache as deleted.
func TestP4AGoMicroCacheIsToldWhatIsGoneSinceTheCacheFile(t *testing.T) {
	t.Parallel()
	srv, dir := etcdtest.Start(t), t.TempDir()
	provider := open(t, srv.Endpoints())
	require.NoError(t, provider.Register(service("greeter", "1", "goes", "stays"), registry.RegisterTTL(time.Minute)))
	before := open(t, srv.Endpoints(), etcd.CacheDir(dir))
	require.Equal(t, 2, nodes(t, before, "greeter"))
	require.NoError(t, before.Close())
	require.NoError(t, provider.Deregister(service("greeter", "1", "goes")))

	r, err := relay.Start("127.0.0.1:0", srv.Endpoint(), relay.NewLink(), nil)
	require.NoError(t, err)
	t.Cleanup(r.End)
	r.Refuse()
	after := open(t, []string{r.Address()}, etcd.CacheDir(dir))
	c := cache.New(after)
	defer c.Stop()
	cached := func() int {
		services, err := c.GetService("greeter")
		require.NoError(t, err)
		return len(services[0].Nodes)
	}
	require.Equal(t, 2, cached())
	eventually(t, func() bool { return after.Status().Followed[0].Watchers == 1 }, "the cache watches")
	require.Equal(t, 2, cached())
	require.NoError(t, r.Accept())
	eventually(t, func() bool { return cached() == 1 }, "the cache has been told")
}
