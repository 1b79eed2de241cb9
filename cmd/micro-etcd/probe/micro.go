package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"go-micro.dev/v4/client"
	proto "go-micro.dev/v4/debug/proto"
	"go-micro.dev/v4/transport"
	"go-micro.dev/v4/transport/headers"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/health"
)

// newMicro asks for Debug.Health, in the protocol that the node is registered with. A server that says in that protocol
// that it has no such handler answers, too: Go Micro v4 has none unless the service registers it.
func newMicro() func(context.Context, *catalog.Node) error {
	// PoolSize 0 closes each connection after its call.
	rpc := health.Micro(client.NewClient(client.PoolSize(0), client.Transport(newSuspicious())))
	return func(ctx context.Context, n *catalog.Node) error {
		if strings.Contains(n.Address, "://") {
			return errors.New("can't be dialed: the address is a URL, and Go Micro's clients need host:port")
		}
		if n.Metadata["protocol"] == "grpc" {
			return askGRPC(ctx, n.Address)
		}
		if err := rpc.Probe(ctx, n.Address); !errors.Is(err, health.ErrNoDebugHandler) {
			return err
		}
		return nil
	}
}

// askGRPC is for Go Micro's gRPC server plugin. Its client plugin would keep a connection to each node.
func askGRPC(ctx context.Context, address string) error {
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(), grpc.WithDisableServiceConfig())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it reports no more than that it was closed before
	var answer proto.HealthResponse
	err = conn.Invoke(ctx, "/Debug/Health", &proto.HealthRequest{}, &answer)
	switch {
	case isMissing(err):
		return nil
	case err != nil:
		return err
	case answer.Status != "" && answer.Status != "ok":
		return fmt.Errorf("Debug.Health says %q", answer.Status)
	}
	return nil
}

// isMissing reports whether a gRPC server said that it has no such handler. The code alone doesn't say that: a client
// also makes it of a web server's 404.
func isMissing(err error) bool {
	s := status.Convert(err)
	return s.Code() == codes.Unimplemented &&
		(strings.HasPrefix(s.Message(), "unknown service ") || strings.HasPrefix(s.Message(), "unknown method "))
}

// suspicious is Go Micro's transport, but doesn't take the answer of any web server for one of Go Micro's.
type suspicious struct{ transport.Transport }

func newSuspicious() transport.Transport { return suspicious{transport.NewHTTPTransport()} }

func (s suspicious) Dial(address string, opts ...transport.DialOption) (transport.Client, error) {
	c, err := s.Transport.Dial(address, opts...)
	if err != nil {
		return nil, err
	}
	return suspiciousClient{c}, nil
}

type suspiciousClient struct{ transport.Client }

// requestID is a header of each request, which the answer repeats.
var requestID = http.CanonicalHeaderKey(headers.ID)

// Recv refuses answers without a request's id. Those with another status than 200 come without any header: go-micro
// v4.11.0 loses the error that it makes of them.
func (c suspiciousClient) Recv(m *transport.Message) error {
	err := c.Client.Recv(m)
	if err == nil && m.Header[requestID] == "" {
		return errors.New(otherProgram + "it doesn't speak Go Micro's protocol")
	}
	return err
}

// otherProgram is what a reason begins with if something else than expected listens at the address.
const otherProgram = "another program answers: "
