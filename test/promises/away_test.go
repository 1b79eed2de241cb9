package promises

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"
	"go-micro.dev/v4/transport"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func TestP6ARepeatedRegisterReturnsNilAtOnceWhileEtcdIsAway(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	r := open(t, srv.Endpoints())
	s, ttl := service("greeter", "1", "a", "b"), registry.RegisterTTL(time.Minute)
	require.NoError(t, r.Register(s, ttl))
	soon(t, 0, "connected", func() error { return r.Register(s, ttl) })
	srv.Stop()
	soon(t, 0, "in the moment of the loss", func() error { return r.Register(s, ttl) })
	eventually(t, func() bool { return !r.Status().Connected }, "it notices")
	for range 5 {
		soon(t, 0, "away", func() error { return r.Register(s, ttl) })
	}
}

// heartbeats tells of every Register as it begins.
type heartbeats struct {
	*etcd.Registry
	begun chan struct{}
}

func (h heartbeats) Register(s *registry.Service, opts ...registry.RegisterOption) error {
	select {
	case h.begun <- struct{}{}:
	default:
	}
	return h.Registry.Register(s, opts...)
}

// In go-micro v4.11.0 (server/rpc_server.go:113) a connection that ends takes Stop's channel and drops it, if it comes
// before the registrar. So the registrar must not be busy for long.
func TestP6GoMicrosServersStopWhileEtcdIsAwayAndConnectionsEnd(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	var all sync.WaitGroup
	var begin []func()
	for range 4 {
		r := open(t, srv.Endpoints())
		h := heartbeats{r, make(chan struct{})}
		s := server.NewServer(
			server.Name("greeter"), server.Registry(h), server.Address("127.0.0.1:0"), server.WithLogger(newLog()),
			server.RegisterTTL(30*time.Second), server.RegisterInterval(time.Second),
		)
		require.NoError(t, s.Start())
		connected := connect(t, s)
		begin = append(begin, func() {
			eventually(t, func() bool { return !r.Status().Connected }, "it notices")
			<-h.begun
			all.Go(func() {
				stopAmong(t, s, connected)
				_ = r.Close() // which takes its time without etcd, so all do it at once
			})
		})
	}
	srv.Stop()
	for _, b := range begin {
		b()
	}
	all.Wait()
}

const (
	stopsWithin = 5 * time.Second
	endsEvery   = 100 * time.Millisecond
)

// connect has clients call a server, whose connections stay.
func connect(t *testing.T, s server.Server) []transport.Client {
	t.Helper()
	var connected []transport.Client
	clients := transport.NewHTTPTransport()
	for range int(stopsWithin / endsEvery) {
		c, err := clients.Dial(s.Options().Address)
		require.NoError(t, err)
		require.NoError(t, c.Send(&transport.Message{Header: map[string]string{"Micro-Endpoint": "Nobody.Nothing"}}))
		connected = append(connected, c)
	}
	return connected
}

// stopAmong stops a server while one connection after another ends.
func stopAmong(t *testing.T, s server.Server, connected []transport.Client) {
	t.Helper()
	began := time.Now()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = s.Stop() // etcd is away, so Deregister fails
	}()
	for _, c := range connected {
		select {
		case <-time.After(endsEvery):
		case <-stopped:
		}
		_ = c.Close()
	}
	select {
	case <-stopped:
	case <-time.After(stopsWithin + time.Second - time.Since(began)):
		assert.Fail(t, "the server doesn't stop", "after %v", time.Since(began))
	}
}
