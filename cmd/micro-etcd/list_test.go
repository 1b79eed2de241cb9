package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/etcdtest"
)

func TestListsOfSomeNodes(t *testing.T) {
	srv := etcdtest.Start(t)
	r := open(t, srv)
	a, b, c := fleettest.Greeter("1", "1"), fleettest.Greeter("1", "2"), fleettest.Greeter("2", "3")
	a.Nodes[0].Metadata = map[string]string{"zone": "a"}
	b.Nodes[0].Metadata = map[string]string{"zone": "b", "canary": ""}
	c.Nodes[0].Metadata = nil
	for _, s := range []string{"greeter", "other"} {
		a.Name = s
		register(t, r, a)
	}
	register(t, r, b)
	register(t, r, c)
	for selector, want := range map[string]string{
		"zone=a": "1\n", "zone==b": "2\n", "zone!=a": "2\n3\n", "canary": "2\n", "!canary": "1\n3\n", "canary=": "2\n",
		"zone,!canary": "1\n", "zone=": "",
	} {
		code := app.ExitOK
		if want == "" {
			code = app.ExitNo
		}
		out, _ := must(t, code, srv, "nodes", "greeter", "-o", "name", "-l", selector)
		require.Equal(t, want, out, selector)
	}
	_, said := must(t, app.ExitNo, srv, "nodes", "greeter", "-l", "zone=c")
	require.Contains(t, said, `none of the 3 nodes of service "greeter" has that metadata`)
	out, said := must(t, app.ExitOK, srv, "services", "-l", "zone=b", "--no-headers")
	require.Equal(t, "greeter  1  1  0\n", out)
	require.Equal(t, "1 service, 1 node in service\n", said)
	out, said = must(t, app.ExitOK, srv, "services", "-o", "name", "-l", "zone=a", "-l", "!canary")
	require.Equal(t, "greeter\nother\n", out)
	require.Empty(t, said)
	_, said = must(t, app.ExitFailed, srv, "nodes", "greeter", "-l", "=a")
	require.Contains(t, said, `--label "=a" has no key`)
	_, said = must(t, app.ExitFailed, srv, "nodes", "greeter", "-o", "xml")
	require.Contains(t, said, "it is table, json, yaml, wide or name")
	_, said = must(t, app.ExitFailed, srv, "doctor", "-o", "wide")
	require.Contains(t, said, "it is table, json or yaml")
}

func TestThePrefixMayComeFromTheEnvironment(t *testing.T) {
	srv := etcdtest.Start(t)
	t.Setenv("MICRO_REGISTRY_PREFIX", "/blue/")
	_, said := must(t, app.ExitOK, srv, "services")
	require.Contains(t, said, "no service below /blue/")
	_, said = must(t, app.ExitOK, srv, "services", "--prefix", "/green/")
	require.Contains(t, said, "no service below /green/")
}
