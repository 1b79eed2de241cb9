package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func TestRegisterKeepsARecordAliveUntilItEnds(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	r := start(t, srv, strings.NewReader("y\n"), append(registerLegacy, "--ttl", "2s")...)
	r.says("Registered with a TTL of 2s. Ctrl-C")
	require.Contains(t, r.err.String(), "Register node l-1 of service legacy, version 2, at 10.0.0.7:80? [y/N]")
	one := as[[]app.Record](t, srv, "nodes", "legacy")[0]
	require.Equal(t, map[string]string{"a": "b=c"}, one.Metadata)
	require.EqualValues(t, 2, *one.Lease.Granted)

	_, err := c.Delete(t.Context(), legacyKey) // it is put back as by any process
	require.NoError(t, err)
	require.Eventually(t, func() bool { return fleettest.Get(t, c, legacyKey) != "" }, patience, 5*time.Millisecond)
	require.Equal(t, app.ExitOK, r.stop())
	require.Empty(t, fleettest.Get(t, c, legacyKey))
	require.Empty(t, r.out.String())
}

func TestRegisterWithoutALeaseStays(t *testing.T) {
	srv := etcdtest.Start(t)
	_, said := must(t, app.ExitOK, srv, append(registerLegacy, "--ttl", "0", "--yes")...)
	require.Contains(t, said, "stays until somebody removes it")
	require.Nil(t, as[[]app.Record](t, srv, "nodes", "legacy")[0].Lease)
	_, err := open(t, srv).GetService("legacy")
	require.NoError(t, err)
}

func TestRegisterSaysWhatItOverwrites(t *testing.T) {
	const overwritten, another = "It will be overwritten.\n", "another service"
	for taken, want := range map[string]struct {
		value string
		says  []string
		not   string
	}{
		"by nobody":   {"", []string{"is free"}, overwritten},
		"by the same": {fleettest.Stored(t, named("a-b")), []string{"without a lease", overwritten}, another},
		"by another service": {fleettest.Stored(t, named("a/b")), []string{
			overwritten, "Warning: it belongs to another service. a/b and a-b share that key, so a/b loses this node.\n",
		}, "puts it back"},
		"by junk": {"junk", []string{"malformed", overwritten}, another},
	} {
		t.Run(taken, func(t *testing.T) {
			srv := etcdtest.Start(t)
			if want.value != "" {
				fleettest.Put(t, srv.Client(t), etcd.DefaultPrefix+"a-b/80", want.value)
			}
			_, said := must(
				t, app.ExitOK, srv, "register", "--service", "a-b", "--node", "80", "--address", "h:80", "--ttl", "0", "--yes",
			)
			for _, text := range want.says {
				require.Contains(t, said, text)
			}
			require.NotContains(t, said, want.not)
		})
	}
}

func named(name string) *registry.Service {
	s := fleettest.Greeter("1", "80")
	s.Name = name
	return s
}

func TestRegisterSaysWhichTTLItGot(t *testing.T) {
	srv := etcdtest.Start(t, func(c *embed.Config) { c.TickMs, c.ElectionMs = 200, 2000 }) // for which etcd wants 3 s
	r := start(t, srv, nil, append(registerLegacy, "--ttl", "1s", "--yes")...)
	r.says("Registered with a TTL of 3s. Ctrl-C")
	require.Contains(t, r.err.String(), "up to 1s if it is killed; etcd raises")
	require.Equal(t, app.ExitOK, r.stop())
}

func TestRegisterRefusesWhatWouldBeNoRecord(t *testing.T) {
	srv := etcdtest.Start(t)
	for _, args := range [][]string{
		{"--service", "..", "--node", "x", "--address", "h:1", "--ttl", "0"},
		{"--service", "..", "--node", "x", "--address", "h:1"},
		{"--service", "x", "--node", "", "--address", "h:1"},
		{"--service", "x", "--node", "\xff", "--address", "h:1"},
		{"--service", "x", "--node", "y", "--address", "h:1", "--metadata", "novalue"},
		{"--service", "x", "--node", "y", "--address", "h:1", "--ttl", "-1s"},
		{"--service", "x"},
	} {
		_, said := must(t, app.ExitFailed, srv, append([]string{"register", "--yes"}, args...)...)
		require.NotEmpty(t, said)
	}
}
