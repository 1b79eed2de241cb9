package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func TestCompletionKnowsServicesAndNodesAndOffersEachOnce(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	for key, id := range map[string]string{"1": "80", "2": "81", "3": "80"} {
		fleettest.Put(t, c, etcd.DefaultPrefix+"greeter/"+key, fleettest.Stored(t, fleettest.Greeter("1", id)))
	}
	out, _ := must(t, app.ExitOK, nil, "__complete", "nodes", "-a", srv.Endpoint(), "")
	require.Equal(t, []string{"greeter", ":4"}, strings.Fields(out))
	out, _ = must(t, app.ExitOK, nil, "__complete", "check", "-a", srv.Endpoint(), "")
	require.Equal(t, []string{"greeter", ":4"}, strings.Fields(out))
	out, _ = must(t, app.ExitOK, nil, "__complete", "check", "--type", "")
	require.Equal(t, []string{"tcp", "http", "grpc", "micro", ":4"}, strings.Fields(out))
	out, _ = must(t, app.ExitOK, nil, "__complete", "deregister", "-a", srv.Endpoint(), "greeter", "")
	require.Equal(t, []string{"80", "81", ":4"}, strings.Fields(out))
	out, _ = must(t, app.ExitOK, nil, "__complete", "nodes", "-a", "127.0.0.1:1", "")
	require.True(t, strings.HasPrefix(out, ":"), out)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		out, _ := must(t, app.ExitOK, nil, "completion", shell)
		require.Contains(t, out, "micro-etcd")
	}
}
