package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/server"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/etcdtest"
)

// Greeter is the handler of a real server.
type Greeter struct{ node string }

// GreeterRequest and GreeterResponse are its.
type (
	GreeterRequest  struct{ Name string }
	GreeterResponse struct {
		Greeting string
		Node     string
		Number   int64
	}
)

// Hello greets, but not Eve.
func (g *Greeter) Hello(_ context.Context, req *GreeterRequest, rsp *GreeterResponse) error {
	if req.Name == "Eve" {
		return errors.New("no Eve")
	}
	*rsp = GreeterResponse{"Hello \x1b[31m" + req.Name, g.node, 1<<60 + 1}
	return nil
}

func TestCallPrintsWhatANodeAnswers(t *testing.T) {
	srv := etcdtest.Start(t)
	for version, id := range map[string]string{"1": "a", "2": "b"} {
		s := server.NewServer(
			server.Name("greeter"), server.Id(id), server.Version(version), server.Address("127.0.0.1:0"),
			server.Registry(open(t, srv)), server.Broker(broker.NewMemoryBroker()), server.RegisterTTL(time.Minute))
		require.NoError(t, s.Handle(s.NewHandler(&Greeter{id})))
		require.NoError(t, s.Start())
		t.Cleanup(func() { require.NoError(t, s.Stop()) })
	}
	out, said := must(t, app.ExitOK, srv, "call", "greeter", "Greeter.Hello", `{"Name": "Ada"}`, "--node", "greeter-b")
	require.Contains(t, out, `"Greeting": "Hello \u001b[31mAda"`, "a terminal gets no commands")
	require.Contains(t, out, `"Number": 1152921504606846977`)
	require.Regexp(t, `^greeter-b at 127\.0\.0\.1:\d+, \d+m?s\n$`, said)
	out, _ = must(t, app.ExitOK, srv, "call", "greeter", "Greeter.Hello", "--version", "1")
	require.Contains(t, out, `"Node": "a"`)
	r := start(t, srv, strings.NewReader(`{"Name": "Bob"}`), "call", "greeter", "Greeter.Hello", "-")
	require.Equal(t, app.ExitOK, r.wait())
	require.Contains(t, r.out.String(), "Bob")

	_, said = must(t, app.ExitNo, srv, "call", "greeter", "Greeter.Hello", `{"Name": "Eve"}`)
	require.Contains(t, said, "no Eve")
	_, said = must(t, app.ExitNo, srv, "call", "greeter", "Greeter.Bye")
	require.Contains(t, said, "Bye")
	_, said = must(t, app.ExitNo, srv, "call", "greeter", "Greeter.Hello", "--node", "c")
	require.Contains(t, said, `none of the 2 nodes of service "greeter" is that one`)
	_, said = must(t, app.ExitNo, srv, "call", "greter", "Greeter.Hello")
	require.Contains(t, said, `no node of service "greter" is in service`)
	_, said = must(t, app.ExitFailed, srv, "call", "greeter", "Greeter.Hello", "{")
	require.Contains(t, said, "is no JSON")
	_, said = must(t, app.ExitFailed, srv, "call", "greeter")
	require.Contains(t, said, "give a SERVICE, an ENDPOINT")
}
