package probe_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	grpcserver "github.com/go-micro/plugins/v4/server/grpc"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/debug/handler"
	proto "go-micro.dev/v4/debug/proto"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/probe"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/test/leak"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)                                                                    // as the command does
	leak.Verify(m, goleak.IgnoreTopFunction("go-micro.dev/v4/registry.(*memRegistry).ttlPrune")) // it never ends
}

const patience = 20 * time.Second // for what answers, however slow the machine is

// ask returns "" for a node that answers.
func ask(t *testing.T, kind string, n *catalog.Node, timeout time.Duration) string {
	t.Helper()
	p, err := probe.New(kind, "/healthz", timeout)
	require.NoError(t, err)
	if err := p.Ask(t.Context(), n); err != nil {
		return err.Error()
	}
	return ""
}

func node(address, protocol string) *catalog.Node {
	return &catalog.Node{Id: "n", Address: address, Metadata: map[string]string{"protocol": protocol}}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // unless the test did
	return l
}

// refused is an address that nothing listens at, and that no listener gets by chance.
const refused = "127.0.0.1:1"

// says is the address of a server that greets each caller, and then waits for them to hang up.
func says(t *testing.T, greeting string) string {
	t.Helper()
	l := listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			_, _ = io.WriteString(conn, greeting) // the caller may have gone
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// web is a web server, of HTTP/2 in plain text, too.
func web(t *testing.T, code int, body string) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body) // the test sees whether it arrives
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func rpc(t *testing.T, register func(s *grpc.Server)) string {
	t.Helper()
	l := listen(t)
	s := grpc.NewServer()
	register(s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // until it is stopped
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return l.Addr().String()
}

// Mute is a handler, but not of Debug.
type Mute struct{}

// Hello greets nobody.
func (Mute) Hello(_ context.Context, _, _ *proto.HealthRequest) error { return nil }

// Debug is not as Go Micro has it.
type Debug struct{}

// Health says that the node isn't well.
func (Debug) Health(_ context.Context, _ *proto.HealthRequest, rsp *proto.HealthResponse) error {
	rsp.Status = "draining"
	return nil
}

var quiet = logger.NewLogger(logger.WithOutput(io.Discard))

// micro starts a real Go Micro server. Without a handler it gets Go Micro's own Debug.
func micro(t *testing.T, s server.Server, h any) string {
	t.Helper()
	require.NoError(t, s.Init(
		server.Name("greeter"), server.Address("127.0.0.1:0"), server.Registry(registry.NewMemoryRegistry()),
		server.Broker(broker.NewMemoryBroker()), server.WithLogger(quiet)))
	if h == nil {
		require.NoError(t, proto.RegisterDebugHandler(s, handler.NewHandler(nil), server.InternalHandler(true)))
	} else {
		require.NoError(t, s.Handle(s.NewHandler(h)))
	}
	require.NoError(t, s.Start())
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s.Options().Address
}

func TestWhoAnswers(t *testing.T) {
	health := grpchealth.NewServer()
	for name, c := range map[string]struct {
		kind string
		node *catalog.Node
	}{
		"tcp: a web server":           {"tcp", node(web(t, 500, ""), "")},
		"tcp: a URL":                  {"tcp", node("http://"+web(t, 500, "")+"/x", "")},
		"tcp: a process that hangs":   {"tcp", node(says(t, ""), "")},
		"http: 200":                   {"http", node(web(t, 200, ""), "")},
		"http: 302":                   {"http", node(web(t, 302, ""), "")},
		"http: a URL":                 {"http", node("http://"+web(t, 204, ""), "")},
		"grpc: a health service":      {"grpc", node(rpc(t, func(s *grpc.Server) { healthpb.RegisterHealthServer(s, health) }), "")},
		"micro: RPC, Go Micro's":      {"micro", node(micro(t, server.NewServer(), nil), "mucp")},
		"micro: RPC, no handler":      {"micro", node(micro(t, server.NewServer(), Mute{}), "mucp")},
		"micro: RPC, no protocol":     {"micro", node(micro(t, server.NewServer(), nil), "")},
		"micro: gRPC, Go Micro's":     {"micro", node(micro(t, grpcserver.NewServer(), nil), "grpc")},
		"micro: gRPC, no handler":     {"micro", node(micro(t, grpcserver.NewServer(), Mute{}), "grpc")},
		"micro: gRPC, another's":      {"micro", node(rpc(t, func(*grpc.Server) {}), "grpc")},
		"http: the hostname resolves": {"http", node("localhost:"+port(web(t, 200, "")), "")},
	} {
		require.Empty(t, ask(t, c.kind, c.node, patience), name)
	}
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

func TestWhyANodeDoesNotAnswer(t *testing.T) {
	health := grpchealth.NewServer()
	health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	for want, c := range map[string]struct {
		kind string
		node *catalog.Node
	}{
		`^dial tcp 127.0.0.1:1: connect: connection refused$`: {"tcp", node(refused, "")},
		`^dial tcp 127.*: connect: connection refused$`:       {"http", node(refused, "")},
		`^dial tcp .*: connect: connection refused$`:          {"grpc", node(refused, "")},
		`^dial tcp .* connection refused$`:                    {"micro", node(refused, "mucp")},
		`^dial tcp .* refused$`:                               {"micro", node(refused, "grpc")},

		`^GET .*: 500 Internal Server Error: the queue is full$`:                   {"http", node(web(t, 500, "the queue is full"), "")},
		`^another program answers: (.*malformed HTTP response "SSH-2.0|it speaks)`: {"http", node(says(t, "SSH-2.0-x\r\n"), "")},

		`^grpc.health.v1.Health says NOT_SERVING$`: {
			"grpc", node(rpc(t, func(s *grpc.Server) { healthpb.RegisterHealthServer(s, health) }), ""),
		},
		`^the server has no grpc.health.v1.Health: `:                {"grpc", node(rpc(t, func(*grpc.Server) {}), "")},
		`^another program answers: .*404`:                           {"grpc", node(web(t, 404, ""), "")},
		`^another program answers: .*HTTP status code.* 404 \(Not `: {"micro", node(web(t, 404, ""), "grpc")},
		`^another program answers: .*200`:                           {"micro", node(web(t, 200, "{}"), "grpc")},
		`^another program answers: .*frame header looked like an`: {
			"micro", node(says(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), "grpc"),
		},
		`^another program answers: it doesn't speak Go Micro's p`:        {"micro", node(web(t, 404, "no such page"), "mucp")},
		`^another program answers: it doesn't speak Go Micro's`:          {"micro", node(web(t, 200, "{}"), "mucp")},
		`^another program answers: malformed HTTP response "SSH-2.0`:     {"micro", node(says(t, "SSH-2.0-x\r\n"), "mucp")},
		`malformed HTTP response|reset by peer|broken pipe|EOF`:          {"micro", node(rpc(t, func(*grpc.Server) {}), "mucp")},
		`^Debug.Health says "draining"$`:                                 {"micro", node(micro(t, server.NewServer(), Debug{}), "mucp")},
		`^Debug\.Health says "draining"$`:                                {"micro", node(micro(t, grpcserver.NewServer(), Debug{}), "grpc")},
		`^can't be dialed: the address is empty$`:                        {"tcp", node("", "")},
		`^can't be dialed: the address is neither host:port nor an HTTP`: {"tcp", node("/run/greeter.sock", "")},
		`^can't be dialed: the address is neither host:port nor an H`:    {"http", node("unix:///run/greeter.sock", "")},
		`^can't be dialed: the address is neither host:port nor`:         {"micro", node("greeter", "mucp")},
		`^can't be dialed: the address is a URL, and Go Micro's`:         {"micro", node("http://127.0.0.1:80", "mucp")},
		`^can't be dialed: the address has no port$`:                     {"grpc", node("10.0.0.1", "")},
		`^can't be dialed: the address has no host$`:                     {"tcp", node(":80", "")},
		`^can't be dialed: the address has no usable port$`:              {"tcp", node("10.0.0.1:0", "")},
		`^can't be dialed: the address is where a server listens, not`:   {"tcp", node("[::]:80", "")},
	} {
		require.Regexp(t, want, ask(t, c.kind, c.node, patience), "%s %s", c.kind, c.node.Address)
	}
}

func TestWhoSaysNothingIsGivenUp(t *testing.T) {
	address := says(t, "")
	for _, c := range []struct {
		kind string
		node *catalog.Node
	}{
		{"http", node(address, "")},
		{"http", node("https://"+address, "")}, // its TLS handshake
		{"grpc", node(address, "")},
		{"micro", node(address, "mucp")},
		{"micro", node(address, "grpc")},
	} {
		require.Equal(t, "no answer within 100ms", ask(t, c.kind, c.node, 100*time.Millisecond), c.kind)
	}
}

func TestAProbeThatMakesNoSenseIsAnError(t *testing.T) {
	for want, err := range map[string]error{
		`--type "udp" is not tcp, http, grpc, micro`: second(probe.New("udp", "/", time.Second)),
		`--node-timeout 0s is not positive`:          second(probe.New("tcp", "/", 0)),
		`--path "/%zz": invalid URL escape "%zz"`:    second(probe.New("http", "/%zz", time.Second)),
	} {
		require.EqualError(t, err, want)
	}
}

func second(_ *probe.Probe, err error) error { return err }
