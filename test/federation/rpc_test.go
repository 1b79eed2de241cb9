package federation

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go-micro.dev/v4/server"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// Request and Response are exported because go-micro's server asks for that.
type (
	Request  struct{}
	Response struct{ From string }
)

// Greeter is the handler.
type Greeter struct{ from string }

// Hello says where it is.
func (g *Greeter) Hello(_ context.Context, _ *Request, rsp *Response) error {
	rsp.From = g.from
	return nil
}

// serve starts a greeter in a data center. leave takes it out of service; it goes on until the test ends.
func (p *place) serve(t *testing.T) (leave func()) {
	t.Helper()
	r := open(t, p.etcd.Endpoint())
	s := server.NewServer(
		server.Name("greeter"), server.Address("127.0.0.1:0"), server.Registry(r), server.Broker(broker.NewMemoryBroker()),
		server.RegisterTTL(time.Minute), server.RegisterInterval(time.Hour),
	)
	require.NoError(t, s.Handle(s.NewHandler(&Greeter{p.name})))
	require.NoError(t, s.Start())
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return func() {
		o := s.Options()
		require.NoError(t, r.Deregister(&registry.Service{
			Name: o.Name, Version: o.Version, Nodes: []*registry.Node{{Id: o.Name + "-" + o.Id}},
		}))
	}
}

func TestNoCallFailsDuringAFailoverAndBack(t *testing.T) {
	t.Parallel()
	home, us1 := newPlace(t, "eu1"), newPlace(t, "us1")
	leave := []func(){home.serve(t), home.serve(t)}
	us1.serve(t)
	f := federate(t, time.Second, home, us1)
	s := etcd.NewSelector(selector.Registry(f))
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	c := client.NewClient(
		client.Selector(s), client.Registry(f), client.Retries(0),
		client.PoolTTL(time.Nanosecond), // go-micro loses an answer now and then on connections that are reused
	)
	var calls, failed atomic.Int64
	var from sync.Map // by data center: of calls since it was cleared
	over := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				var rsp Response
				if err := c.Call(t.Context(), c.NewRequest("greeter", "Greeter.Hello", &Request{}), &rsp); err != nil {
					failed.Add(1)
					t.Log(err)
				}
				calls.Add(1)
				from.Store(rsp.From, true)
				select {
				case <-over:
					return
				case <-time.After(2 * time.Millisecond):
				}
			}
		})
	}
	only := func(want string) {
		t.Helper()
		eventually(t, "calls go to "+want+" only", func() bool {
			from.Clear()
			until := calls.Load() + 50
			eventually(t, "calls", func() bool { return calls.Load() > until })
			all := 0
			from.Range(func(_, _ any) bool { all++; return true })
			_, there := from.Load(want)
			return there && all == 1
		})
	}
	only("eu1")
	for _, l := range leave {
		l()
	}
	only("us1")
	home.cut()
	home.serve(t) // which a federation that is cut off from it can't know
	only("us1")
	home.heal(t)
	only("eu1")
	close(over)
	callers.Wait()
	require.Zero(t, failed.Load())
}
