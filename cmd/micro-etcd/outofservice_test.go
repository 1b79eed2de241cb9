package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

func TestNodesOutOfServiceAreShownAsSuch(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81"))
	fleettest.Lasting(t, c, fleettest.Greeter("2", "90"))
	since := time.Date(2026, 11, 29, 4, 0, 0, 0, time.UTC)
	until := since.Add(time.Hour)
	fleettest.PutNotice(t, c, "81", catalog.Notice{Reason: "heap dump", By: "alice@ops", Since: since, Until: until})
	fleettest.PutNotice(t, c, "90", catalog.Notice{Reason: "tcp: refused", Since: since, Acknowledged: since.Add(1)})

	records := as[[]app.Record](t, srv, "nodes", "greeter")
	require.Len(t, records, 3)
	require.Equal(t, []any{"80", app.StateIn}, []any{records[0].Node, records[0].State})
	require.Nil(t, records[0].Out)
	require.Equal(t, []any{"81", app.StateOut, "10.0.0.1:81"}, []any{records[1].Node, records[1].State, records[1].Address})
	require.Equal(t, fleettest.NoticeKey("81"), records[1].Key)
	require.Equal(t, app.OutOfService{Reason: "heap dump", By: "alice@ops", Since: since, Until: until}, *records[1].Out)
	require.Equal(t, since.Add(1), records[2].Out.Acknowledged)
	var fromYAML []map[string]any
	out, _ := must(t, app.ExitOK, srv, "show", "greeter", "-o", "yaml")
	require.NoError(t, yaml.Unmarshal([]byte(out), &fromYAML))
	require.Equal(t, "2026-11-29T04:00:00Z", fromYAML[1]["out_of_service"].(map[string]any)["since"])
	require.NotContains(t, fromYAML[1]["out_of_service"], "acknowledged")

	out, said := must(t, app.ExitOK, srv, "nodes", "greeter")
	require.Empty(t, said)
	require.Regexp(t, `(?m)^80 +1 +10\.0\.0\.1:80 +in service +\d+s of 600s`, out)
	require.Regexp(t, `(?m)^81 +1 +10\.0\.0\.1:81 +out of service +\d+s of 600s`, out)
	out, _ = must(t, app.ExitOK, srv, "show", "greeter")
	require.Contains(t, out, "\ngreeter, out of service\n  node 81 at 10.0.0.1:81, version 1\n    out    since "+app.Moment(since)+
		", by alice@ops, not acknowledged by its process, until "+app.Moment(until)+": heap dump\n")
	require.Contains(t, out, ", by its own health checks: tcp: refused\n")
	require.Equal(t, 1, strings.Count(out, "endpoint Greeter.Hello"))

	out, said = must(t, app.ExitOK, srv, "services")
	require.Equal(t, "1 service, 1 node in service, 2 out of service\n", said)
	require.Equal(t, "SERVICE  VERSIONS  NODES  OUT\ngreeter  1, 2      1      2\n", out)
	services := as[[]service](t, srv, "services")
	require.Equal(t, []service{{"", "greeter", 1, 2, []serviceVersion{{"1", 1, 1}, {"2", 0, 1}}}}, services)

	fleettest.PutNotice(t, c, "80", catalog.Notice{By: "alice@ops"})
	require.Len(t, as[[]app.Record](t, srv, "show", "greeter"), 3)
	services = as[[]service](t, srv, "services")
	require.Equal(t, []service{{"", "greeter", 0, 3, []serviceVersion{{"1", 0, 2}, {"2", 0, 1}}}}, services)
	out, _ = must(t, app.ExitOK, srv, "show", "greeter")
	require.True(t, strings.HasPrefix(out, "greeter, out of service\n"), out)
	out, _ = must(t, app.ExitNo, srv, "doctor", "--service", "greeter")
	require.Contains(t, out, "3 nodes out of service.\n")
}

func TestWatchTellsThatANodeGoesOutOfServiceAndComesBack(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81", "82", "83"))
	fleettest.PutNotice(t, c, "82", catalog.Notice{By: "alice@ops", Reason: "before"})
	r := start(t, srv, nil, "watch", "greeter", "-o", "json")
	table := start(t, srv, nil, "watch", "greeter")
	r.says(`"connected"`)
	table.says("connected")
	owners(t, c)
	must(t, app.ExitOK, srv, "drain", "greeter", "80", "--reason", "heap dump", "--yes")
	r.says("acknowledged by its process")
	must(t, app.ExitOK, srv, "undrain", "greeter", "80", "--yes")
	r.says(stateBack)
	_, err := c.Delete(t.Context(), fleettest.NoticeKey("82"))
	require.NoError(t, err)
	r.says(`"gone"`)
	table.says("gone")
	require.Equal(t, app.ExitOK, r.stop())
	require.Equal(t, app.ExitOK, table.stop())

	all := events(t, r)
	require.Equal(t, []string{
		"there", "there", "there", "there", "connected", app.StateOut, "changed", stateBack, "gone",
	}, kinds(all))
	require.Equal(t, "before", all[0].Record.Out.Reason)
	require.Equal(t, []any{"80", app.StateOut, "heap dump"}, []any{all[5].Record.Node, all[5].Record.State, all[5].Record.Out.Reason})
	require.Equal(t, "acknowledged by its process", all[6].Changes)
	require.Equal(t, []any{"80", app.StateIn}, []any{all[7].Record.Node, all[7].Record.State})
	require.Equal(t, []any{"82", app.StateOut}, []any{all[8].Record.Node, all[8].Record.State})
	require.Regexp(t, `(?m)^[\d:]+  out of service   greeter 1  80 at 10\.0\.0\.1:80, since .*: heap dump$`, table.out.String())
	require.Regexp(t, `(?m)^[\d:]+  back in service  greeter 1  80 at 10\.0\.0\.1:80, lease `, table.out.String())
	require.Regexp(t, `(?m)^[\d:]+  there            greeter 1  82 at 10\.0\.0\.1:82, out of service since .*: before$`, table.out.String())
}

func TestWhatChangesInANotice(t *testing.T) {
	at := time.Date(2026, 11, 29, 4, 0, 0, 0, time.UTC)
	a := &app.OutOfService{Reason: "a", By: "alice@ops", Since: at}
	require.Empty(t, noticeChanges(a, a))
	require.Equal(t, []string{
		"reason a → -", "by alice@ops → bob@ops", "until - → " + app.Moment(at), "acknowledged by its process",
	}, noticeChanges(a, &app.OutOfService{By: "bob@ops", Until: at, Acknowledged: at}))
	require.NotEmpty(t, noticeChanges(a, nil))
	require.Nil(t, noticeChanges(nil, nil))
}
