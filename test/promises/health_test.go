package promises

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/registry/health"
	"github.com/micro-etcd/micro-etcd/test/directory"
)

// brisk makes a check of short times, so that a test needn't wait.
func brisk(c health.Check) health.Check {
	c.Interval, c.Timeout, c.InitialDelay = 50*time.Millisecond, 40*time.Millisecond, time.Millisecond
	c.FailureThreshold, c.SuccessThreshold = 2, 2
	return c
}

// Fifty registries fall sick at one moment, as fifty processes do; again and again with -count.
func TestP2NeverMoreThanHalfOfAServiceIsOutOfService(t *testing.T) {
	const fleet, rounds = 50, 2
	srv := etcdtest.Start(t)
	nodes := directory.Follow(t, srv.Client(t), etcd.DefaultPrefix+"greeter/")
	for round := range rounds {
		var sick atomic.Bool
		check := brisk(health.Func("database", func(context.Context) error {
			if sick.Load() {
				return errors.New("away")
			}
			return nil
		}))
		check.Interval, check.Timeout = 500*time.Millisecond, 400*time.Millisecond // so that fifty leave time for the rest
		registries := make([]*etcd.Registry, fleet)
		var registering sync.WaitGroup
		for i := range registries {
			registries[i] = open(t, srv.Endpoints(), registry.Timeout(patience), etcd.HealthCheck(check))
			registering.Go(func() {
				s := &registry.Service{Name: "greeter", Version: "1", Nodes: []*registry.Node{
					{Id: fmt.Sprintf("%d-%d", round, i), Address: "10.0.0.1:80"},
				}}
				if err := registries[i].Register(s, registry.RegisterTTL(time.Minute)); err != nil {
					t.Error(err)
				}
			})
		}
		registering.Wait()
		all := func(what string, holds func(etcd.RegistrationStatus) bool) {
			eventually(t, func() bool {
				for _, r := range registries {
					if !holds(r.Status().Registrations[0]) {
						return false
					}
				}
				return true
			}, what)
		}
		all("checked", func(s etcd.RegistrationStatus) bool { return s.Checks[0].State == "passing" })
		sick.Store(true)
		all("out of service, or held in it", func(s etcd.RegistrationStatus) bool {
			return s.State == "out-of-service" || s.Held != ""
		})
		eventually(t, func() bool {
			require.Empty(t, nodes.Overshot())
			in, out := nodes.Count()
			return in == fleet/2 && out == fleet/2
		}, "half of them are out")
		sick.Store(false)
		all("in service", func(s etcd.RegistrationStatus) bool { return s.State == "registered" })
		for _, r := range registries {
			require.NoError(t, r.Close())
		}
		eventually(t, func() bool {
			in, out := nodes.Count()
			return in+out == 0
		}, "all are gone")
	}
	require.Empty(t, nodes.Overshot())
}

// A server whose port is closed leaves service and comes back with it.
func TestP2ANodeIsOutOfServiceWhileItsListenerIsGone(t *testing.T) {
	srv := etcdtest.Start(t)
	consumer := open(t, srv.Endpoints())
	other := open(t, srv.Endpoints())
	mustRegister(t, other, "greeter", "other", "10.0.0.1:80")
	listen := func(address string) net.Listener {
		l, err := net.Listen("tcp", address)
		require.NoError(t, err)
		return l
	}
	l := listen("127.0.0.1:0")
	r := open(t, srv.Endpoints(), etcd.HealthCheck(brisk(health.TCP())))
	mustRegister(t, r, "greeter", "checked", l.Addr().String())
	sees := func(nodes int) {
		eventually(t, func() bool {
			services, err := consumer.GetService("greeter")
			return err == nil && len(services) == 1 && len(services[0].Nodes) == nodes
		}, "the consumer sees it")
	}
	sees(2)
	eventually(t, func() bool {
		return r.Status().Registrations[0].Checks[0].State == "passing"
	}, "the check passes")
	require.NoError(t, l.Close())
	sees(1)
	eventually(t, func() bool { return errors.Is(r.Ready(), etcd.ErrOutOfService) }, "it knows")
	l = listen(l.Addr().String())
	sees(2)
	eventually(t, func() bool { return r.Ready() == nil }, "it knows")
	require.NoError(t, l.Close())
	sees(1)
	require.NoError(t, r.Close())
	dir := etcd.DefaultPrefix + "greeter/"
	got, err := srv.Client(t).Get(t.Context(), dir, clientv3.WithPrefix(), clientv3.WithCountOnly())
	require.NoError(t, err)
	require.EqualValues(t, 1, got.Count, "nothing but the other one")
}

func mustRegister(tb testing.TB, r *etcd.Registry, name, id, address string) {
	tb.Helper()
	s := &registry.Service{Name: name, Version: "1", Nodes: []*registry.Node{{Id: id, Address: address}}}
	require.NoError(tb, r.Register(s, registry.RegisterTTL(time.Minute)))
}

// Request and Response are exported because go-micro's server asks for that.
type (
	Request  struct{ Name string }
	Response struct{ Status string }
)

// Debug is a handler like go-micro's own, which hangs as long as the process is stuck. It ignores the server's context:
// go-micro v4.11.0 may end that at once.
type Debug struct{ stuck atomic.Pointer[chan struct{}] }

func (d *Debug) hang() {
	until := make(chan struct{})
	d.stuck.Store(&until)
}

func (d *Debug) goOn() { close(*d.stuck.Swap(nil)) }

// Health answers with "ok".
func (d *Debug) Health(_ context.Context, _ *Request, rsp *Response) error {
	if until := d.stuck.Load(); until != nil {
		<-*until
	}
	rsp.Status = "ok"
	return nil
}

// Greeter hangs with Debug, as all of a process does.
type Greeter struct{ *Debug }

// Hello greets.
func (g Greeter) Hello(ctx context.Context, _ *Request, rsp *Response) error {
	return g.Health(ctx, nil, rsp)
}

// Two of go-micro's servers: one gets stuck while calls come. Its heartbeats go on all the time.
func TestP2AServerThatIsStuckGetsNoCalls(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	check := health.Micro(nil)
	check.Interval, check.Timeout, check.InitialDelay = time.Second, 900*time.Millisecond, time.Millisecond
	serve := func(id string) (*etcd.Registry, *Debug, server.Server) {
		r, d := open(t, srv.Endpoints(), etcd.HealthCheck(check)), &Debug{}
		s := server.NewServer(
			server.Name("greeter"), server.Id(id), server.Registry(r), server.Address("127.0.0.1:0"),
			server.WithLogger(newLog()), server.Broker(broker.NewMemoryBroker()),
			server.RegisterTTL(time.Minute), server.RegisterInterval(50*time.Millisecond),
		)
		require.NoError(t, s.Handle(s.NewHandler(d)))
		require.NoError(t, s.Handle(s.NewHandler(Greeter{d})))
		require.NoError(t, s.Start())
		return r, d, s
	}
	sick, debug, server1 := serve("1")
	_, _, server2 := serve("2")
	passes := func() bool { return sick.Status().Registrations[0].Checks[0].State == "passing" }
	eventually(t, passes, "the check passes")

	consumer := open(t, srv.Endpoints())
	picker := etcd.NewSelector(selector.Registry(consumer))
	var called atomic.Pointer[string]
	note := func(next client.CallFunc) client.CallFunc {
		return func(ctx context.Context, node *registry.Node, r client.Request, rsp any, o client.CallOptions) error {
			called.Store(&node.Id)
			return next(ctx, node, r, rsp, o)
		}
	}
	calls := client.NewClient(
		client.Registry(consumer), client.Selector(picker), client.Retries(0), client.WrapCall(note),
	)
	call := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		hello := calls.NewRequest("greeter", "Greeter.Hello", &Request{}, client.WithContentType("application/json"))
		return calls.Call(ctx, hello, &Response{})
	}
	debug.hang()
	eventually(t, func() bool { return errors.Is(sick.Ready(), etcd.ErrOutOfService) }, "it is out of service")
	eventually(t, func() bool { return nodes(t, consumer, "greeter") == 1 }, "it is seen")
	for range 50 {
		_ = call() // go-micro loses an answer now and then (docs/selector.md)
		require.Equal(t, "greeter-2", *called.Load())
	}
	debug.goOn()
	eventually(t, func() bool { return nodes(t, consumer, "greeter") == 2 }, "it is seen")
	debug.hang()
	eventually(t, func() bool { return sick.Ready() != nil }, "it is seen")
	debug.goOn()
	require.NoError(t, server1.Stop())
	require.NoError(t, server2.Stop())
	eventually(t, func() bool { return nodes(t, consumer, "greeter") == 0 }, "it is seen")
}
