package health_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"

	"github.com/micro-etcd/micro-etcd/registry/health"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

type (
	// HealthRequest and HealthResponse have the fields of go-micro's debug package, as far as they matter.
	HealthRequest struct{ Service string }
	// HealthResponse is the answer.
	HealthResponse struct{ Status string }
)

// Debug is a handler with the name of go-micro's.
type Debug struct {
	answer func() (string, error)
}

// Health answers.
func (d *Debug) Health(_ context.Context, _ *HealthRequest, rsp *HealthResponse) (err error) {
	rsp.Status, err = d.answer()
	return err
}

// Other is a handler of another name.
type Other struct{}

// Health answers.
func (*Other) Health(context.Context, *HealthRequest, *HealthResponse) error { return nil }

// service starts a go-micro server with handlers and returns its address.
func service(t *testing.T, handlers ...any) string {
	t.Helper()
	s := server.NewServer(
		server.Name("greeter"), server.Address("127.0.0.1:0"), server.Registry(registry.NewMemoryRegistry()),
		server.Broker(broker.NewMemoryBroker()), server.WithLogger(logger.NewLogger(logger.WithOutput(io.Discard))),
	)
	for _, h := range handlers {
		require.NoError(t, s.Handle(s.NewHandler(h)))
	}
	require.NoError(t, s.Start())
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s.Options().Address
}

func TestMicro(t *testing.T) {
	var status atomic.Pointer[string]
	say := func(s string) { status.Store(&s) }
	address := service(t, &Debug{func() (string, error) { return *status.Load(), nil }})
	for _, c := range []health.Check{health.Micro(nil), health.Micro(client.NewClient())} {
		say("ok")
		require.NoError(t, ask(t, c, address))
		say("")
		require.NoError(t, ask(t, c, address))
		say("draining")
		require.EqualError(t, ask(t, c, address), `Debug.Health says "draining"`)
	}
}

func TestMicroTakesTheDefaultClientOfTheMoment(t *testing.T) {
	address := service(t, &Debug{func() (string, error) { return "ok", nil }})
	c := health.Micro(nil)
	standard := client.DefaultClient
	t.Cleanup(func() { client.DefaultClient = standard })
	wrapped := 0
	client.DefaultClient = client.NewClient(client.WrapCall(func(call client.CallFunc) client.CallFunc {
		return func(ctx context.Context, node *registry.Node, r client.Request, rsp any, o client.CallOptions) error {
			wrapped++
			return call(ctx, node, r, rsp, o)
		}
	}))
	require.NoError(t, ask(t, c, address))
	require.Equal(t, 1, wrapped)
}

func TestMicroPassesOnTheHandlersErrorWithoutARetry(t *testing.T) {
	var calls atomic.Int32
	address := service(t, &Debug{func() (string, error) {
		calls.Add(1)
		return "", errors.New("no database")
	}})
	require.EqualError(t, ask(t, health.Micro(nil), address), "no database")
	require.EqualValues(t, 1, calls.Load())
}

func TestMicroSaysWhatToDoWithoutAHandler(t *testing.T) {
	for _, handlers := range [][]any{nil, {&Other{}}} {
		err := ask(t, health.Micro(nil), service(t, handlers...))
		require.ErrorIs(t, err, health.ErrNoDebugHandler)
		require.ErrorContains(t, err, "the server has no Debug.Health: register go-micro.dev/v4/debug/handler with it")
	}
}

func TestMicroMeetsItsOwnNodeWhateverProxyThereIs(t *testing.T) {
	t.Setenv("MICRO_PROXY", "127.0.0.1:1")
	address := service(t, &Debug{func() (string, error) { return "ok", nil }})
	require.NoError(t, ask(t, health.Micro(nil), address))
}

func TestMicroEndsWithItsContext(t *testing.T) {
	requireEndsInTime(t, health.Micro(nil), silent(t))

	release := make(chan struct{})
	address, hungUp := relay(t, service(t, &Debug{func() (string, error) {
		<-release
		return "ok", nil
	}}))
	requireEndsInTime(t, health.Micro(nil), address)
	<-hungUp // go-micro's client has a race between a response and the end of its call
	close(release)
}

// relay passes one connection on to an address, and says when its caller has closed it.
func relay(t *testing.T, to string) (address string, hungUp <-chan struct{}) {
	t.Helper()
	l := listen(t)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		from, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = from.Close() }()
		server, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer func() { _ = server.Close() }()
		_, _ = io.Copy(server, from) // until the caller closes it; a handler that hangs has no answer to pass back
	}()
	return l.Addr().String(), closed
}

func TestMicroUsesANewConnectionForEachRun(t *testing.T) {
	l := listen(t)
	address := l.Addr().String()
	c := health.Micro(client.NewClient())
	for range 2 {
		done := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err == nil {
				err = conn.Close()
			}
			done <- err
		}()
		require.Error(t, ask(t, c, address))
		require.NoError(t, <-done)
	}
}
