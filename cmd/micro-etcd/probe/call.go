package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// Call calls an endpoint of a node, such as Greeter.Hello, in the protocol that the node is registered with, and
// returns its answer, both in JSON. An error has the node's own words, which aren't safe to be printed.
func Call(
	ctx context.Context, service string, n *catalog.Node, endpoint string, body json.RawMessage,
) (answer json.RawMessage, err error) {
	if strings.Contains(n.Address, "://") {
		return nil, errors.New("the address is a URL, and Go Micro's clients need host:port")
	}
	if n.Metadata["protocol"] == "grpc" {
		err = callGRPC(ctx, service, n.Address, endpoint, body, &answer)
		return answer, err
	}
	c := client.NewClient(
		client.PoolSize(0), client.Transport(newSuspicious()), client.Retries(0), client.ContentType("application/json"),
	)
	err = c.Call(ctx, c.NewRequest(service, endpoint, body), &answer, client.WithAddress(n.Address))
	if err != nil {
		return nil, said(err.Error())
	}
	return answer, nil
}

// said returns what a handler has said. Go Micro's errors are JSON around it.
func said(text string) error {
	if detail := merrors.Parse(text).Detail; detail != "" {
		return errors.New(detail)
	}
	return errors.New(text)
}

// callGRPC is for Go Micro's gRPC server plugin, which takes JSON, too.
func callGRPC(
	ctx context.Context, service, address, endpoint string, body json.RawMessage, answer *json.RawMessage,
) error {
	name, method, ok := strings.Cut(endpoint, ".")
	if !ok {
		return fmt.Errorf("endpoint %q isn't of the form Greeter.Hello", endpoint)
	}
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(), grpc.WithDisableServiceConfig())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it reports no more than that it was closed before
	err = conn.Invoke(ctx, "/"+service+"."+name+"/"+method, body, answer, grpc.ForceCodec(rawJSON{}))
	if err != nil {
		return said(status.Convert(err).Message())
	}
	return nil
}

// rawJSON passes JSON on.
type rawJSON struct{}

func (rawJSON) Marshal(v any) ([]byte, error) { return v.(json.RawMessage), nil }

func (rawJSON) Unmarshal(data []byte, v any) error {
	*v.(*json.RawMessage) = append(json.RawMessage(nil), data...)
	return nil
}

func (rawJSON) Name() string { return "json" }
