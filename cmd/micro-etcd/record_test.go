package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/doctor"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func TestAKeyThatIsNoUTF8CanBeTakenFromJSON(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	key := etcd.DefaultPrefix + "greeter/\\\xff"
	fleettest.Put(t, c, key, "junk")
	r := start(t, srv, nil, "doctor", "-o", "json")
	require.Equal(t, app.ExitNo, r.wait())
	var report doctor.Report
	numbered := strings.ReplaceAll(r.out.String(), `"severity": "warning"`, `"severity": 1`)
	require.NoError(t, json.Unmarshal([]byte(numbered), &report), r.out.String())
	require.Equal(t, []string{output.Escape(key)}, report.Findings[0].Subjects)
	require.Contains(t, report.Findings[0].What, `\xff`)
	must(t, app.ExitOK, srv, "deregister", "--yes", "--record-key", report.Findings[0].Subjects[0])
	require.Empty(t, fleettest.Get(t, c, key))

	fleettest.Put(t, c, key, fleettest.Stored(t, fleettest.Greeter("1", "80")))
	fleettest.Put(t, c, etcd.DefaultPrefix+"greeter/ü", fleettest.Stored(t, fleettest.Greeter("1", "81")))
	records := as[[]app.Record](t, srv, "nodes", "greeter")
	require.Equal(t, output.Escape(key), records[0].Escaped)
	require.Empty(t, records[1].Escaped)
	must(t, app.ExitOK, srv, "deregister", "--yes", "--record-key", records[0].Escaped)
	require.Empty(t, fleettest.Get(t, c, key))
}
