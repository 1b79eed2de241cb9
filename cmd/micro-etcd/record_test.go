package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/doctor"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func TestAKeyThatIsNoUTF8CanBeTakenFromJSON(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	key := etcd.DefaultPrefix + "greeter/\\\xff"
	put(t, c, key, "junk")
	r := start(t, srv, nil, "doctor", "-o", "json")
	require.Equal(t, exitNo, r.wait())
	var report doctor.Report
	numbered := strings.ReplaceAll(r.out.String(), `"severity": "warning"`, `"severity": 1`)
	require.NoError(t, json.Unmarshal([]byte(numbered), &report), r.out.String())
	require.Equal(t, []string{output.Escape(key)}, report.Findings[0].Subjects)
	require.Contains(t, report.Findings[0].What, `\xff`)
	must(t, exitOK, srv, "deregister", "--yes", "--record-key", report.Findings[0].Subjects[0])
	require.Empty(t, get(t, c, key))

	put(t, c, key, stored(t, greeter("1", "80")))
	put(t, c, etcd.DefaultPrefix+"greeter/ü", stored(t, greeter("1", "81")))
	records := as[[]record](t, srv, "nodes", "greeter")
	require.Equal(t, output.Escape(key), records[0].Escaped)
	require.Empty(t, records[1].Escaped)
	must(t, exitOK, srv, "deregister", "--yes", "--record-key", records[0].Escaped)
	require.Empty(t, get(t, c, key))
}
