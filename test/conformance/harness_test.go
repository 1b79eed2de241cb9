package conformance

import (
	"flag"
	"testing"

	"go-micro.dev/v4"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"
	harness "go-micro.dev/v4/test"
	"go-micro.dev/v4/transport"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// TestGoMicroHarness runs Go Micro's own service tests with server and client finding each other through two of our
// registries. They are benchmarks, which keep what they log to themselves when run from a test: to see why they fail,
// run BenchmarkGoMicroHarness.
func TestGoMicroHarness(t *testing.T) {
	if err := flag.Set("test.benchtime", "3x"); err != nil {
		t.Fatal(err)
	}
	store := StartStore(t, 1)
	failed := true
	testing.Benchmark(func(b *testing.B) {
		b.Helper()
		failed = true
		harnessConfig(t, store).Run(b)
		failed = b.Failed()
	})
	if failed {
		t.Error("Go Micro's harness fails")
	}
}

func BenchmarkGoMicroHarness(b *testing.B) {
	harnessConfig(b, StartStore(b, 1)).Run(b)
}

func harnessConfig(tb testing.TB, s *Store) *harness.ServiceTestConfig {
	tb.Helper()
	return &harness.ServiceTestConfig{
		Name: "harness",
		NewService: func(name string, opts ...micro.Option) (micro.Service, error) {
			return harnessService(tb, s, name, opts...)
		},
		Parallel:   []int{1, 4},
		Sequential: []int{10},
		Streams:    []int{10},
		// Its PubSub test publishes one type and subscribes to another, which no broker can do; Go Micro's own
		// benchmark leaves it out as well.
	}
}

// harnessService has two registries, so that what its client finds has been through etcd.
func harnessService(tb testing.TB, s *Store, name string, more ...micro.Option) (micro.Service, error) {
	tb.Helper()
	var both []registry.Registry
	for range 2 {
		r, err := etcd.New(registry.Addrs(s.members...))
		if err != nil {
			return nil, err
		}
		tb.Cleanup(func() {
			if err := r.Close(); err != nil {
				tb.Error(err)
			}
		})
		both = append(both, r)
	}
	wire, local := transport.NewHTTPTransport(), broker.NewMemoryBroker()
	options := []micro.Option{
		micro.Server(server.NewRPCServer(
			server.Name(name), server.Transport(wire), server.Broker(local), server.Address("127.0.0.1:0"),
		)),
		micro.Client(client.NewClient(client.Transport(wire), client.Broker(local))),
		micro.Broker(local),
		micro.Registry(both[0]),
		micro.HandleSignal(false),
		func(o *micro.Options) {
			if err := o.Client.Init(client.Registry(both[1])); err != nil {
				tb.Error(err)
			}
		},
	}
	return micro.NewService(append(options, more...)...), nil
}
