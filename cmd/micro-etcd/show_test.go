package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.yaml.in/yaml/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func TestServicesCountsVersionsAndNodes(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	r := open(t, srv)
	register(t, r, fleettest.Greeter("1", "1", "2"))
	register(t, r, fleettest.Greeter("2", "3"))
	fleettest.Put(t, c, etcd.DefaultPrefix+"greeter/junk", "junk")
	// the same node, but not at its key
	fleettest.Put(t, c, etcd.DefaultPrefix+"greeter/moved", fleettest.Stored(t, fleettest.Greeter("2", "1")))

	out, said := must(t, app.ExitOK, srv, "services")
	require.Equal(t, "SERVICE  VERSIONS  NODES  OUT\ngreeter  1, 2      3      0\n", out)
	require.Contains(t, said, "1 service, 3 nodes in service\n")
	out, _ = must(t, app.ExitOK, srv, "ls", "-o", "wide")
	require.Equal(t, "SERVICE  VERSION  NODES  OUT\ngreeter  1        2      0\ngreeter  2        1      0\n", out)
	require.Contains(t, said, "1 malformed record left out")
	services := as[[]service](t, srv, "services")
	require.Equal(t, []service{{"", "greeter", 3, 0, []serviceVersion{{"1", 2, 0}, {"2", 1, 0}}}}, services)
	require.Contains(t, said, "1 duplicate record left out")
}

func TestOfTwoKeysOfANodeAllCommandsShowTheOneThatConsumersSee(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	other, is := fleettest.Greeter("1", "80"), fleettest.Greeter("1", "80")
	is.Nodes[0].Address, is.Metadata = "10.0.0.2:80", map[string]string{"team": "green"}
	fleettest.Put(t, c, etcd.DefaultPrefix+"greeter/80", fleettest.Stored(t, is))
	fleettest.Put(t, c, etcd.DefaultPrefix+"greeter/1", fleettest.Stored(t, other)) // written last, but not at the node's key

	seen, err := open(t, srv).GetService("greeter")
	require.NoError(t, err)
	require.Len(t, seen[0].Nodes, 1)
	require.Equal(t, 1, as[[]service](t, srv, "services")[0].Nodes)
	for _, command := range []string{"nodes", "show"} {
		records := as[[]app.Record](t, srv, command, "greeter")
		require.Len(t, records, 1)
		require.Equal(t, seen[0].Nodes[0].Address, records[0].Address)
		out, said := must(t, app.ExitOK, srv, command, "greeter")
		require.NotContains(t, out, other.Nodes[0].Address)
		require.Contains(t, said, "1 duplicate record left out")
	}
	out, _ := must(t, app.ExitOK, srv, "show", "greeter")
	require.Contains(t, out, "team = green")
	out, _ = must(t, app.ExitNo, srv, "doctor")
	require.Contains(t, out, "registered at 2 keys", "which is where the warning points")
}

func TestNothingRegisteredIsAnEmptyList(t *testing.T) {
	srv := etcdtest.Start(t)
	out, said := must(t, app.ExitOK, srv, "services", "-o", "json")
	require.Equal(t, "[]\n", out)
	require.Equal(t, "no service below /micro/registry/\n", said)
	_, said = must(t, app.ExitOK, srv, "services", "--prefix", "/foo")
	require.Equal(t, "no service below /foo/\n", said)
	_, said = must(t, app.ExitNo, srv, "nodes", "nobody")
	require.Contains(t, said, `no node of service "nobody"`)
	must(t, app.ExitNo, srv, "show", "nobody")
}

func TestNodesShowsLeasesAndWhatIsKnownOfTheAge(t *testing.T) {
	srv := etcdtest.Start(t)
	register(t, open(t, srv), fleettest.Greeter("1", "80"))
	fleettest.Put(t, srv.Client(t), etcd.DefaultPrefix+"greeter/81", fleettest.Stored(t, fleettest.Greeter("1", "81")))
	fleettest.Put(t, srv.Client(t), etcd.DefaultPrefix+"greeter/81", fleettest.Stored(t, fleettest.Greeter("1", "81")))

	records := as[[]app.Record](t, srv, "nodes", "greeter")
	require.Len(t, records, 2)
	leased, forever := records[0], records[1]
	require.Equal(t, "10.0.0.1:80", leased.Address)
	require.EqualValues(t, 60, *leased.Lease.Granted)
	require.Positive(t, *leased.Lease.Left)
	require.EqualValues(t, 1, leased.Writes)
	require.Nil(t, forever.Lease)
	require.EqualValues(t, 2, forever.Writes)

	out, _ := must(t, app.ExitOK, srv, "nodes", "greeter", "-o", "wide")
	require.Regexp(t, `(?m)^80 +1 +10\.0\.0\.1:80 +in service +\d\ds of 60s +`+leased.Lease.ID+` +rev 2, 1 write$`, out)
	require.Regexp(t, `(?m)^81 +1 +10\.0\.0\.1:81 +in service +no lease +- +rev 3, 2 writes$`, out)
}

func TestShowHasEverything(t *testing.T) {
	srv := etcdtest.Start(t)
	register(t, open(t, srv), fleettest.Greeter("1", "80"))
	out, _ := must(t, app.ExitOK, srv, "show", "greeter")
	for _, want := range []string{
		"greeter, version 1\n", "  team = blue\n", "  endpoint Greeter.Hello(Request) Response\n",
		"  node 80 at 10.0.0.1:80\n",
		"    zone = a\n", "    key    /micro/registry/greeter/80, ", "s left of 60 s\n", "made at revision 2, written once",
	} {
		require.Contains(t, out, want)
	}
	shown := as[[]app.Record](t, srv, "show", "greeter")
	require.Equal(t, "Greeter.Hello", shown[0].Endpoints[0].Name)
	require.Equal(t, "blue", shown[0].About["team"])
}

func TestAPrefixIsATenant(t *testing.T) {
	srv := etcdtest.Start(t)
	register(t, open(t, srv, etcd.Prefix("/blue")), fleettest.Greeter("1", "80"))
	require.Empty(t, as[[]service](t, srv, "services"))
	require.Len(t, as[[]service](t, srv, "services", "--prefix", "/blue"), 1)
	require.Len(t, as[[]app.Record](t, srv, "nodes", "greeter", "--prefix", "/blue/"), 1)
	must(t, app.ExitFailed, srv, "services", "--prefix", "")
}

// hostile are texts that somebody may have put into etcd to fool a terminal, its reader, or a parser.
var hostile = []string{
	"\x1b[2J\x1b[31mred\x07", "a\r\nb", "\u202egnp.exe", "\u2066x", "zero\u200bwidth", "\x00\x7f\u009b31m", "tab\there",
	`back\slash "quote" 'single'`, "- yaml: [", "#no", "true", "1e3", "~", " lead", "\u00a0nbsp", "\ufeffbom",
	"\U000e0041tag", "日本語", "🤷", "",
	strings.Repeat("\u202e", 500), "?" + strings.Repeat("k", 2000), "{{.}} %s %d", "'", "\u2028ls",
}

func hostileService() *registry.Service {
	s := fleettest.Greeter("1\x1b[0m", "80")
	s.Nodes[0].Id = "n\x1b]0;title\x07\u202e"
	s.Nodes[0].Address = "\x1b[1A10.0.0.1:80\n"
	for _, text := range hostile {
		s.Nodes[0].Metadata["k"+text] = text
		s.Endpoints = append(s.Endpoints, &registry.Endpoint{Name: text, Request: &registry.Value{Type: text}})
	}
	return s
}

func requireHarmless(tb testing.TB, text string) {
	tb.Helper()
	for i, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			require.FailNow(tb, "that could harm", "%q at %d in %q", r, i, text)
		}
	}
}

func TestHostileTextsAreHarmlessInTablesAndWholeForPrograms(t *testing.T) {
	srv := etcdtest.Start(t)
	register(t, open(t, srv), hostileService())
	fleettest.Put(t, srv.Client(t), etcd.DefaultPrefix+"gre\x1b[31meter\xff\xfe/x\n\u202e", "\x1b[2Jjunk\xff")
	fleettest.Lasting(t, srv.Client(t), fleettest.Greeter("1", "81"))
	notice := catalog.Notice{Reason: strings.Join(hostile, "?"), By: "\x1b[2J\u202eeve\n"}
	fleettest.PutNotice(t, srv.Client(t), "81", notice)

	lines := [][]string{{"\x1b[31m"}, {"deregister", "greeter", "\u202e"}, {"undrain", "greeter", "81"}}
	for _, format := range []string{"table", "json", "yaml"} {
		for _, args := range [][]string{
			{"services"}, {"nodes", "greeter"}, {"show", "greeter"}, {"nodes", "\x1b[31m"}, {"doctor"}, {"check"},
		} {
			lines = append(lines, append(args, "-o", format))
		}
	}
	for _, args := range lines {
		r := start(t, srv, nil, args...)
		r.wait()
		require.NotEmpty(t, r.out.String()+r.err.String())
		requireHarmless(t, r.out.String())
		requireHarmless(t, r.err.String())
	}
	want := hostileService()
	shown := as[[]app.Record](t, srv, "show", "greeter")
	require.Equal(t, want.Nodes[0].Metadata, shown[0].Metadata)
	require.Equal(t, want.Nodes[0].Id, shown[0].Node)

	out, _ := must(t, app.ExitOK, srv, "show", "greeter", "-o", "yaml")
	var fromYAML []map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(out), &fromYAML))
	var fromJSON []map[string]any
	out, _ = must(t, app.ExitOK, srv, "show", "greeter", "-o", "json")
	require.NoError(t, json.Unmarshal([]byte(out), &fromJSON))
	require.Equal(t, fromJSON[0]["metadata"], fromYAML[0]["metadata"])
	require.Equal(
		t, fromJSON[0]["endpoints"].([]any)[5].(map[string]any)["name"],
		fromYAML[0]["endpoints"].([]any)[5].(map[string]any)["name"],
	)
}

func TestEnormousMetadataIsCutInTablesAndWholeInJSON(t *testing.T) {
	srv := etcdtest.Start(t)
	s := fleettest.Greeter("1", "80")
	s.Nodes[0].Metadata["huge"] = strings.Repeat("日", 200_000)
	register(t, open(t, srv), s)
	out, _ := must(t, app.ExitOK, srv, "show", "greeter")
	require.Less(t, len(out), 2000)
	require.Contains(t, out, "日…\n")
	require.Equal(t, s.Nodes[0].Metadata, as[[]app.Record](t, srv, "show", "greeter")[0].Metadata)
}

func TestDoctorsWorstFindingIsItsExitCode(t *testing.T) {
	srv := etcdtest.Start(t)
	must(t, app.ExitOK, srv, "doctor")
	fleettest.Put(t, srv.Client(t), legacyKey, "junk")
	out, _ := must(t, app.ExitNo, srv, "doctor")
	require.Contains(t, out, "; met 1 of 1 member, etcd 3.")
	srv.Stop()
	out, _ = must(t, app.ExitCritical, srv, "doctor", "--timeout", "500ms")
	require.Contains(t, out, "; met no member.\n")
}

func TestShowOfOneNode(t *testing.T) {
	srv := etcdtest.Start(t)
	r := open(t, srv)
	register(t, r, fleettest.Greeter("1", "80"))
	register(t, r, fleettest.Greeter("2", "81", "82"))
	fleettest.Lasting(t, srv.Client(t), fleettest.Greeter("1", "83"))
	fleettest.PutNotice(t, srv.Client(t), "83", catalog.Notice{By: "alice@ops"})
	out, _ := must(t, app.ExitOK, srv, "show", "greeter", "82")
	require.True(t, strings.HasPrefix(out, "greeter, version 2\n"), out)
	require.Equal(t, 1, strings.Count(out, "  node "))
	require.Contains(t, out, "  node 82 at ")
	out, _ = must(t, app.ExitOK, srv, "show", "greeter", "83")
	require.True(t, strings.HasPrefix(out, "greeter, out of service\n  node 83 at "), out)
	require.Equal(t, "81", as[[]app.Record](t, srv, "show", "greeter", "81")[0].Node)
	_, said := must(t, app.ExitNo, srv, "show", "greeter", "84")
	require.Contains(t, said, `service "greeter" has no node "84"`)
}

func TestAMisspelledServiceIsAskedBack(t *testing.T) {
	srv := etcdtest.Start(t)
	register(t, open(t, srv), fleettest.Greeter("1", "80"))
	for _, command := range []string{"nodes", "show"} {
		_, said := must(t, app.ExitNo, srv, command, "greter")
		require.Contains(t, said, `no node of service "greter" below /micro/registry/greter/; did you mean greeter?`)
		_, said = must(t, app.ExitNo, srv, command, "payments")
		require.NotContains(t, said, "mean")
	}
}
