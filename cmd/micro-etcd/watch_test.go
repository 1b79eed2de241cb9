package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// events decodes what watch has written so far: one object per line.
func events(tb testing.TB, r *running) []event {
	tb.Helper()
	var all []event
	for line := range strings.Lines(r.out.String()) {
		var e event
		if !strings.HasSuffix(line, "\n") {
			break
		}
		require.NoError(tb, json.Unmarshal([]byte(line), &e), line)
		all = append(all, e)
	}
	return all
}

func kinds(all []event) []string {
	var kinds []string
	for _, e := range all {
		kinds = append(kinds, e.Event)
	}
	return kinds
}

func TestWatchShowsARepairAsGoneAndAppeared(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	register(t, open(t, srv), fleettest.Greeter("1", "80"))
	r := start(t, srv, nil, "watch", "greeter", "-o", "json")
	r.says(`"connected"`)
	_, err := c.Delete(t.Context(), etcd.DefaultPrefix+"greeter/80")
	require.NoError(t, err)
	r.says(`"appeared"`)
	require.Equal(t, app.ExitOK, r.stop())
	all := events(t, r)
	require.Equal(t, []string{"there", "connected", "gone", "appeared"}, kinds(all))
	require.Equal(t, "80", all[2].Record.Node)
	require.NotEqual(t, all[0].Record.Created, all[3].Record.Created)
}

func TestWatchSaysThatTheConnectionIsLostAndWhatHappenedMeanwhile(t *testing.T) {
	srv := etcdtest.Start(t)
	fleettest.Put(t, srv.Client(t), legacyKey, "junk")
	r := start(t, srv, nil, "watch")
	r.says("all there is as of revision")
	srv.Stop()
	r.says("lost the connection to etcd")
	require.NoError(t, srv.Restart())
	fleettest.Put(t, srv.Client(t), etcd.DefaultPrefix+"greeter/80", fleettest.Stored(t, fleettest.Greeter("1", "80")))
	r.says("greeter 1  80 at 10.0.0.1:80, no lease")
	require.Equal(t, app.ExitOK, r.stop())
	require.Contains(t, r.out.String(), "there            "+legacyKey+": malformed record")
}

func TestWatchSaysThatThereIsNothingYetBesideItsEvents(t *testing.T) {
	srv := etcdtest.Start(t)
	fleettest.Put(t, srv.Client(t), legacyKey, "junk")
	for want, args := range map[string][]string{
		"no record of service nosuch yet\n": {"nosuch"},
		"no record below /blue/ yet\n":      {"--prefix", "/blue"},
		"":                                  {"legacy"},
	} {
		r := start(t, srv, nil, append([]string{"watch", "-o", "json"}, args...)...)
		r.says(`"connected"`)
		r.says(want)
		require.Equal(t, app.ExitOK, r.stop())
		require.Equal(t, want, r.err.String())
		require.Equal(t, "connected", events(t, r)[len(events(t, r))-1].Event)
	}
}

func TestWatchSaysWhatChanged(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	key := etcd.DefaultPrefix + "greeter/80"
	fleettest.Put(t, c, key, fleettest.Stored(t, fleettest.Greeter("1", "80")))
	r := start(t, srv, nil, "watch", "-o", "yaml")
	r.says("event: connected")
	changed := fleettest.Greeter("2", "80")
	changed.Nodes[0].Metadata = map[string]string{"zone": "b", "new": "x"}
	fleettest.Put(t, c, key, fleettest.Stored(t, changed))
	r.says("version 1 → 2; metadata new = x; metadata zone = a → b")
	fleettest.Put(t, c, key, fleettest.Stored(t, changed))
	r.says("written again")
	fleettest.Put(t, c, key, "junk")
	r.says("its record was malformed, or is")
	require.Equal(t, app.ExitOK, r.stop())
	d := yaml.NewDecoder(strings.NewReader(r.out.String()))
	n := 0
	for e := map[string]any{}; d.Decode(&e) == nil; n++ {
		require.NotEmpty(t, e["time"])
	}
	require.Equal(t, 5, n)
}

func TestWatchEndsWhenItMayNotRead(t *testing.T) {
	srv := etcdtest.Start(t, cheapPasswords)
	withRoles(t, srv)
	r := start(t, srv, strings.NewReader("pw"), "watch", "--user", "nobody")
	require.Equal(t, app.ExitFailed, r.wait())
	require.Contains(t, r.err.String(), "permission denied")

	r = start(t, srv, strings.NewReader("pw"), "watch", "greeter", "--user", "consumer")
	r.says("all there is")
	require.Equal(t, app.ExitOK, r.stop())
	_, said := must(t, app.ExitFailed, srv, "services", "--user", "consumer", "--password-file", passwordFile(t))
	require.Contains(t, said, "may not read that")
	must(t, app.ExitNo, srv, "nodes", "greeter", "--user", "consumer", "--password-file", passwordFile(t))
}
