package main

import (
	"context"
	"net"
	"testing"
	"time"

	grpcserver "github.com/go-micro/plugins/v4/server/grpc"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/debug/handler"
	proto "go-micro.dev/v4/debug/proto"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// Mute has no Debug.Stats.
type Mute struct{}

// Hello greets nobody.
func (Mute) Hello(_ context.Context, _, _ *proto.HealthRequest) error { return nil }

// serve runs a real Go Micro server until the test ends.
func serve(tb testing.TB, s server.Server, srv *etcdtest.Server, id string, debug bool) {
	tb.Helper()
	require.NoError(tb, s.Init(
		server.Name("greeter"), server.Id(id), server.Address("127.0.0.1:0"), server.Registry(open(tb, srv)),
		server.Broker(broker.NewMemoryBroker()), server.RegisterTTL(time.Minute)))
	if debug {
		require.NoError(tb, proto.RegisterDebugHandler(s, handler.NewHandler(nil), server.InternalHandler(true)))
	} else {
		require.NoError(tb, s.Handle(s.NewHandler(Mute{})))
	}
	require.NoError(tb, s.Start())
	tb.Cleanup(func() { require.NoError(tb, s.Stop()) })
}

func TestAskAsksTheProcesses(t *testing.T) {
	srv := etcdtest.Start(t)
	serve(t, server.NewServer(), srv, "mucp", true)
	serve(t, server.NewServer(), srv, "mute", false)
	serve(t, grpcserver.NewServer(), srv, "grpc", true)
	serve(t, grpcserver.NewServer(), srv, "mute-grpc", false)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := dead.Addr().String()
	require.NoError(t, dead.Close())
	put(t, srv.Client(t), etcd.DefaultPrefix+"greeter/dead", stored(t, &registry.Service{
		Name: "greeter", Version: "1", Nodes: []*registry.Node{{Id: "dead", Address: address}, nil},
	}))

	got := make(map[string]string)
	for _, r := range as[[]record](t, srv, "nodes", "greeter", "--ask") {
		got[r.Node] = r.Process.String()
		if r.Process.Uptime != nil {
			got[r.Node] = "up"
			began, err := time.Parse(time.RFC3339, r.Process.Started)
			require.NoError(t, err)
			require.WithinDuration(t, time.Now(), began, time.Hour)
			require.Empty(t, r.Endpoints, "an internal handler is not in the record")
		}
	}
	const mute = "answers, but has no Debug.Stats"
	require.Equal(t, map[string]string{
		"greeter-mucp": "up", "greeter-grpc": "up", "greeter-mute": mute, "greeter-mute-grpc": mute, "dead": "unreachable",
	}, got)
	out, _ := must(t, exitOK, srv, "show", "greeter", "--ask")
	require.Regexp(t, `process up [\dhm]+s \(20`, out)
	require.Regexp(t, `process unreachable \(.*refused`, out)
}
