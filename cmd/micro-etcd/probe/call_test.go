package probe_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	grpcserver "github.com/go-micro/plugins/v4/server/grpc"
	"github.com/stretchr/testify/require"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/server"
	"google.golang.org/grpc"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/probe"
)

// Greeter is a handler.
type Greeter struct{}

// Request and Response are its.
type (
	Request  struct{ Name string }
	Response struct{ Greeting string }
)

// Hello greets, and has something against Eve.
func (Greeter) Hello(_ context.Context, req *Request, rsp *Response) error {
	switch req.Name {
	case "Eve":
		return merrors.Forbidden("greeter", "not \x1b[31mEve")
	case "Adam":
		return errors.New("no Adam")
	}
	rsp.Greeting = "Hello " + req.Name
	return nil
}

func TestCallsInEitherProtocol(t *testing.T) {
	for protocol, s := range map[string]server.Server{"mucp": server.NewServer(), "grpc": grpcserver.NewServer()} {
		t.Run(protocol, func(t *testing.T) {
			n := node(micro(t, s, Greeter{}), protocol)
			call := func(endpoint, body string) (string, error) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				answer, err := probe.Call(ctx, "greeter", n, endpoint, json.RawMessage(body))
				return string(answer), err
			}
			answer, err := call("Greeter.Hello", `{"Name":"Ada"}`)
			require.NoError(t, err)
			require.JSONEq(t, `{"Greeting":"Hello Ada"}`, answer)
			answer, err = call("Greeter.Hello", `{}`)
			require.NoError(t, err)
			require.JSONEq(t, `{"Greeting":"Hello "}`, answer)
			_, err = call("Greeter.Hello", `{"Name":"Eve"}`)
			require.ErrorContains(t, err, "not \x1b[31mEve")
			require.NotContains(t, err.Error(), "{", "the detail of go-micro's error")
			_, err = call("Greeter.Hello", `{"Name":"Adam"}`)
			require.ErrorContains(t, err, "no Adam")
			for _, wrong := range []string{"Greeter.Bye", "Nobody.Hello", "Hello", ""} {
				_, err = call(wrong, `{}`)
				require.Error(t, err, wrong)
			}
		})
	}
}

func TestCallsOfWhatIsNoGoMicroServer(t *testing.T) {
	for name, n := range map[string]struct {
		address, protocol string
	}{
		"a web server":     {web(t, 200, "hi"), ""},
		"another's gRPC":   {rpc(t, func(*grpc.Server) {}), "grpc"},
		"nobody":           {"127.0.0.1:1", ""},
		"nobody, for gRPC": {"127.0.0.1:1", "grpc"},
		"a URL":            {"http://127.0.0.1:1", ""},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := probe.Call(ctx, "greeter", node(n.address, n.protocol), "Greeter.Hello", json.RawMessage("{}"))
		cancel()
		require.Error(t, err, name)
	}
}
