package health_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/micro-etcd/micro-etcd/registry/health"
)

const patience = 10 * time.Second

// ask runs a check once.
func ask(t *testing.T, c health.Check, address string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return c.Probe(ctx, address)
}

// refused is an address that nothing listens at.
func refused(t *testing.T) string {
	t.Helper()
	l := listen(t)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // unless the test did
	return l
}

// silent is the address of a server that accepts connections and says nothing.
func silent(t *testing.T) string {
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
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// requireEndsInTime runs a check that hangs, with a timeout.
func requireEndsInTime(t *testing.T, c health.Check, address string) {
	t.Helper()
	const timeout = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	began := time.Now()
	require.Error(t, c.Probe(ctx, address))
	require.GreaterOrEqual(t, time.Since(began), timeout*9/10, "it did hang")
	require.Less(t, time.Since(began), patience/2)
}

// network are the checks that dial.
func network() []health.Check {
	return []health.Check{health.TCP(), health.HTTP("/"), health.GRPC(""), health.Micro(nil)}
}

func TestAClosedPortIsNamed(t *testing.T) {
	address := refused(t)
	for _, c := range network() {
		err := ask(t, c, address)
		require.ErrorContains(t, err, "connection refused", c.Name)
		require.ErrorContains(t, err, address, c.Name)
	}
}

func TestAnAddressThatIsNoneIsAnError(t *testing.T) {
	for _, c := range network() {
		for _, address := range []string{"", "127.0.0.1", "http://", "http://%zz", "http://127.0.0.1:x"} {
			require.Error(t, ask(t, c, address), "%s %q", c.Name, address)
		}
	}
}

func TestAnEndedContextEndsACheck(t *testing.T) {
	address := silent(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range network() {
		require.Error(t, c.Probe(ctx, address), c.Name)
	}
}

func TestTCP(t *testing.T) {
	address := silent(t)
	require.NoError(t, ask(t, health.TCP(), address))
	require.NoError(t, ask(t, health.TCP(), "http://"+address+"/path"))
	require.ErrorContains(t, ask(t, health.TCP(), "unix:///run/socket"), "has no host and port")
}

func TestTCPClosesItsConnection(t *testing.T) {
	l := listen(t)
	require.NoError(t, ask(t, health.TCP(), l.Addr().String()))
	conn, err := l.Accept()
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, conn.Close())
}

// web is a web server and its address.
func web(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestHTTPPassesFrom200To399(t *testing.T) {
	var code atomic.Int32
	address := web(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(int(code.Load()))
	})
	for _, passes := range []int32{200, 204, 299, 301, 302, 307, 399} {
		code.Store(passes)
		require.NoError(t, ask(t, health.HTTP("/"), address), passes)
	}
	for _, fails := range []int32{400, 404, 500, 503, 999} {
		code.Store(fails)
		require.Error(t, ask(t, health.HTTP("/"), address), fails)
	}
	require.EqualError(t, ask(t, health.HTTP("/"), address), "GET http://"+address+"/: 999 status code 999")
}

func TestHTTPAsksForItsPathOnANewConnection(t *testing.T) {
	var got atomic.Pointer[http.Request]
	address := web(t, func(_ http.ResponseWriter, r *http.Request) { got.Store(r) })
	for path, want := range map[string]string{
		"": "/", "healthz": "/healthz", "/healthz?full=1": "/healthz?full=1", "/a%2Fb": "/a%2Fb",
	} {
		require.NoError(t, ask(t, health.HTTP(path), address))
		require.Equal(t, want, got.Load().RequestURI)
		require.Equal(t, http.MethodGet, got.Load().Method)
		require.Equal(t, "micro-etcd-health", got.Load().UserAgent())
	}
	c, seen := health.HTTP("/"), make(map[string]bool)
	for range 3 {
		require.NoError(t, ask(t, c, address))
		seen[got.Load().RemoteAddr] = true
	}
	require.Len(t, seen, 3)
}

func TestHTTPUnderstandsAddressesThatAreURLs(t *testing.T) {
	var got atomic.Pointer[string]
	address := web(t, func(_ http.ResponseWriter, r *http.Request) { got.Store(&r.RequestURI) })
	for base, want := range map[string]string{
		"http://" + address: "/healthz", "http://" + address + "/": "/healthz", "http://" + address + "/api": "/api/healthz",
	} {
		require.NoError(t, ask(t, health.HTTP("/healthz"), base))
		require.Equal(t, want, *got.Load())
	}
	require.ErrorContains(t, ask(t, health.HTTP("/"), "ftp://"+address), "unsupported protocol scheme")
}

func TestHTTPIgnoresProxies(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	address := web(t, func(http.ResponseWriter, *http.Request) {})
	require.NoError(t, ask(t, health.HTTP("/"), address))
}

func TestHTTPVerifiesCertificates(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	t.Cleanup(s.Close)
	require.ErrorContains(t, ask(t, health.HTTP("/"), s.URL), "certificate signed by unknown authority")
}

func TestHTTPShowsTheBeginningOfAFailure(t *testing.T) {
	address := web(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "the queue is full\n") // the test sees whether it arrives
	})
	require.EqualError(t, ask(t, health.HTTP("/"), address),
		"GET http://"+address+"/: 503 Service Unavailable: the queue is full")
}

func TestHTTPDoesNotReadABodyThatDoesNotEnd(t *testing.T) {
	for _, code := range []int{http.StatusOK, http.StatusInternalServerError} {
		address := web(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(code)
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, strings.Repeat("x", 1000)) // until the check hangs up
			}
		})
		err := ask(t, health.HTTP("/"), address)
		require.Equal(t, code == http.StatusOK, err == nil)
		if err != nil {
			require.Less(t, len(err.Error()), 300)
		}
	}
}

func TestHTTPEndsWithItsContext(t *testing.T) {
	requireEndsInTime(t, health.HTTP("/"), silent(t))
	address := web(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_ = http.NewResponseController(w).Flush() // it can
		<-r.Context().Done()
	})
	requireEndsInTime(t, health.HTTP("/"), address)
}

// rpc is a gRPC server and its address.
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

func TestGRPC(t *testing.T) {
	h := grpchealth.NewServer()
	h.SetServingStatus("greeter.v1.Greeter", healthpb.HealthCheckResponse_NOT_SERVING)
	address := rpc(t, func(s *grpc.Server) { healthpb.RegisterHealthServer(s, h) })

	require.NoError(t, ask(t, health.GRPC(""), address))
	require.NoError(t, ask(t, health.GRPC(""), "http://"+address))
	require.EqualError(t, ask(t, health.GRPC("greeter.v1.Greeter"), address), "grpc.health.v1.Health says NOT_SERVING")
	h.SetServingStatus("greeter.v1.Greeter", healthpb.HealthCheckResponse_SERVING)
	require.NoError(t, ask(t, health.GRPC("greeter.v1.Greeter"), address))

	require.ErrorContains(t, ask(t, health.GRPC("other"), address), `doesn't know service "other": call SetServingStatus`)
	require.ErrorContains(t, ask(t, health.GRPC(""), "https://"+address), "this check has no TLS")
}

func TestGRPCSaysWhatToDoWithoutAHealthService(t *testing.T) {
	address := rpc(t, func(*grpc.Server) {})
	require.ErrorContains(t, ask(t, health.GRPC(""), address),
		"the server has no grpc.health.v1.Health: register health.NewServer() of google.golang.org/grpc/health with it")
}

func TestGRPCIgnoresProxies(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	address := rpc(t, func(s *grpc.Server) { healthpb.RegisterHealthServer(s, grpchealth.NewServer()) })
	require.NoError(t, ask(t, health.GRPC(""), address))
}

// mute is a health service that answers when its caller has gone.
type mute struct {
	healthpb.UnimplementedHealthServer
}

func (mute) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestGRPCEndsWithItsContext(t *testing.T) {
	requireEndsInTime(t, health.GRPC(""), silent(t))
	requireEndsInTime(t, health.GRPC(""), rpc(t, func(s *grpc.Server) { healthpb.RegisterHealthServer(s, mute{}) }))
}
