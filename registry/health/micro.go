package health

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go-micro.dev/v4/client"
	microerrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
)

// Micro returns a check that calls the node's Debug.Health through Go Micro, with a client that speaks the server's
// protocol. nil stands for client.DefaultClient, as it is at the time of each run. An answer with the status "ok", or
// none, passes.
//
// Go Micro v4 doesn't register that endpoint by itself. Without it the check fails, and its error says what to do:
// register either the framework's handler, which is in go-micro.dev/v4/debug/handler and always says "ok",
//
//	micro.RegisterHandler(service.Server(), handler.NewHandler(service.Client()))
//
// or one of your own. Its type has to be named Debug, and its method
//
//	func (*Debug) Health(ctx context.Context, req *HealthRequest, rsp *HealthResponse) error
//
// where HealthRequest has no fields and HealthResponse has a string named Status.
//
// The call isn't retried, and goes to the node even where MICRO_PROXY names another address. The client's wrappers take
// part in it. Go Micro's own client opens a new connection for each run, unless its pool has one to this node already,
// because the process calls itself. The gRPC client plugin reuses its connection, so a server that has only closed its
// listener passes; add [TCP] to notice that.
func Micro(c client.Client) Check {
	return Check{Name: "micro", Probe: func(ctx context.Context, address string) error {
		use := c
		if use == nil {
			use = client.DefaultClient
		}
		return callHealth(ctx, use, address)
	}}
}

// ErrNoDebugHandler says that a server answers, but has no Debug.Health, so [Micro] can't tell whether it is healthy.
// It comes wrapped with what to do; test for it with errors.Is.
var ErrNoDebugHandler = errors.New("the server has no Debug.Health")

const (
	// debugService is the service name in the request. Servers ignore it. Selectors and wrappers of the client keep
	// statistics by it, which a check of the real service's name would distort.
	debugService  = "micro-etcd-health"
	debugEndpoint = "Debug.Health"
)

// The messages of Debug.Health, without the framework's package for them and its protobuf code.
type (
	healthRequest  struct{}
	healthResponse struct {
		Status string `json:"status"`
	}
)

func callHealth(ctx context.Context, c client.Client, address string) error {
	request := c.NewRequest(debugService, debugEndpoint, &healthRequest{}, client.WithContentType("application/json"))
	response := new(healthResponse)
	err := c.Call(ctx, request, response,
		client.WithAddress(address),
		client.WithCallWrapper(direct(address)),
		client.WithRetries(0),
		client.WithConnClose(),
		withinContext(ctx),
	)
	if err != nil {
		return explained(err)
	}
	if response.Status != "" && response.Status != "ok" {
		return fmt.Errorf("%s says %q", debugEndpoint, response.Status)
	}
	return nil
}

// direct makes a call go to the address even if a proxy is configured: a check has to meet its own node.
func direct(address string) client.CallWrapper {
	return func(call client.CallFunc) client.CallFunc {
		return func(ctx context.Context, node *registry.Node, r client.Request, rsp any, o client.CallOptions) error {
			return call(ctx, &registry.Node{Id: node.Id, Address: address, Metadata: node.Metadata}, r, rsp, o)
		}
	}
}

// withinContext makes all of a call's time limits those of ctx. Go Micro's client has three, and only one of them heeds
// the context: without the others, it would keep the goroutine of a call that hangs for 5 s.
func withinContext(ctx context.Context) client.CallOption {
	return func(o *client.CallOptions) {
		if deadline, ok := ctx.Deadline(); ok {
			left := max(time.Until(deadline), time.Nanosecond)
			o.RequestTimeout, o.ConnectionTimeout, o.DialTimeout = left, left, left
		}
	}
}

// explained makes Go Micro's errors readable, which are JSON, and says what to do where the handler is missing.
func explained(err error) error {
	parsed := microerrors.Parse(err.Error())
	if isMissing(parsed.Detail) {
		return fmt.Errorf("%w: register go-micro.dev/v4/debug/handler with it, "+
			"or a handler of type Debug with a method Health (%s)", ErrNoDebugHandler, parsed.Detail)
	}
	if parsed.Detail == "" {
		return err
	}
	return errors.New(parsed.Detail)
}

// isMissing knows the texts of go-micro v4.11.0 (server/rpc_router.go) and of its gRPC server plugin v1.2.0 (grpc.go).
func isMissing(detail string) bool {
	for _, text := range []string{
		"can't find service Debug", "can't find method Health", "unknown service Debug",
	} {
		if strings.Contains(detail, text) {
			return true
		}
	}
	return false
}
