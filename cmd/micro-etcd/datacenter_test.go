package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/etcdtest"
)

// twoDatacenters returns the flags for eu1, which has two nodes of greeter, and us1, which has one.
func twoDatacenters(t *testing.T) (eu1, us1 *etcdtest.Server, flags []string) {
	t.Helper()
	eu1, us1 = etcdtest.Start(t), etcdtest.Start(t)
	register(t, open(t, eu1), fleettest.Greeter("1", "1", "2"))
	register(t, open(t, us1), fleettest.Greeter("2", "3"))
	return eu1, us1, []string{"--dc", "eu1=" + eu1.Endpoint(), "--dc", "us1=" + us1.Endpoint()}
}

func TestWhatIsInSeveralDatacentersIsShownTogether(t *testing.T) {
	eu1, us1, dcs := twoDatacenters(t)
	out, _ := must(t, app.ExitOK, nil, append(dcs, "services")...)
	require.Equal(t, "DC   SERVICE  VERSIONS  NODES  OUT\neu1  greeter  1         2      0\nus1  greeter  2         1      0\n", out)

	out, _ = must(t, app.ExitOK, nil, append(dcs, "nodes", "greeter", "-o", "json")...)
	var records []app.Record
	require.NoError(t, json.Unmarshal([]byte(out), &records))
	require.Equal(t, []string{"eu1", "eu1", "us1"},
		[]string{records[0].Datacenter, records[1].Datacenter, records[2].Datacenter})
	out, _ = must(t, app.ExitOK, nil, append(dcs, "nodes", "greeter")...)
	require.Regexp(t, `^DC +NODE .*\neu1 +1 .*\neu1 +2 .*\nus1 +3 `, out)
	out, _ = must(t, app.ExitOK, nil, append(dcs, "show", "greeter")...)
	require.Regexp(t, `(?s)^greeter, version 1, data center eu1\n.*\ngreeter, version 2, data center us1\n`, out)

	register(t, open(t, us1), fleettest.Greeter("1", "9", "10"))
	register(t, open(t, eu1), fleettest.Greeter("1", "8"))
	out, _ = must(t, app.ExitOK, nil, append(dcs, "nodes", "greeter")...)
	require.Equal(t, 7, strings.Count(out, "\n"))
	out, _ = must(t, app.ExitOK, nil, "--dc", "us1="+us1.Endpoint(), "services")
	require.Equal(t, "DC   SERVICE  VERSIONS  NODES  OUT\nus1  greeter  1, 2      3      0\n", out)
}

func TestAServiceMayBeInOneDatacenterOnly(t *testing.T) {
	eu1, _, dcs := twoDatacenters(t)
	s := fleettest.Greeter("1", "1")
	s.Name = "shop"
	register(t, open(t, eu1), s)
	out, _ := must(t, app.ExitOK, nil, append(dcs, "nodes", "shop")...)
	require.Equal(t, 2, strings.Count(out, "\n"))
	_, said := must(t, app.ExitNo, nil, append(dcs, "nodes", "nothing")...)
	require.Contains(t, said, `data center eu1: no node of service "nothing"`)
	require.Contains(t, said, `data center us1: no node of service "nothing"`)
}

func TestADatacenterThatIsAwayDoesNotHideTheOthers(t *testing.T) {
	_, us1, dcs := twoDatacenters(t)
	us1.Stop()
	dcs = append(dcs, "--timeout", "300ms")
	for _, args := range [][]string{{"services"}, {"nodes", "greeter"}, {"show", "greeter"}} {
		out, said := must(t, app.ExitFailed, nil, append(dcs, args...)...)
		require.Contains(t, out, "eu1")
		require.Contains(t, said, "micro-etcd: data center us1: ")
	}
	out, _ := must(t, app.ExitCritical, nil, append(dcs, "doctor")...)
	require.Regexp(t, `(?s)^Data center eu1\n.*0 critical.*\nData center us1\n\nCRITICAL`, out)
	r := start(t, nil, nil, append(dcs, "watch")...)
	r.says("eu1  there ")
	r.says("data center us1: ")
	require.Equal(t, app.ExitFailed, r.stop())
}

func TestDoctorExaminesEveryDatacenter(t *testing.T) {
	_, us1, dcs := twoDatacenters(t)
	fleettest.Put(t, us1.Client(t), "/micro/registry/greeter/junk", "junk")
	out, said := must(t, app.ExitNo, nil, append(dcs, "doctor")...)
	require.Regexp(t, `(?s)^Data center eu1\n.*\n\nData center us1\n.*WARNING \(malformed`, out)
	require.Empty(t, said)
	out, _ = must(t, app.ExitNo, nil, append(dcs, "doctor", "-o", "json")...)
	var reports []struct {
		Datacenter string
		Records    int
	}
	require.NoError(t, json.Unmarshal([]byte(out), &reports))
	require.Equal(t, "us1", reports[1].Datacenter)
	require.Equal(t, 2, reports[1].Records)
}

func TestWatchFollowsEveryDatacenter(t *testing.T) {
	_, us1, dcs := twoDatacenters(t)
	r := start(t, nil, nil, append(dcs, "watch", "greeter")...)
	r.says("eu1  there            greeter 1  1 at")
	r.says("us1  there            greeter 2  3 at")
	register(t, open(t, us1), fleettest.Greeter("2", "4"))
	r.says("us1  appeared         greeter 2  4 at")
	require.Equal(t, app.ExitOK, r.stop())
}

func TestDatacentersThatMakeNoSense(t *testing.T) {
	for want, args := range map[string][]string{
		`--dc "EU1=a:1": "EU1" is no name`:           {"--dc", "EU1=a:1", "services"},
		`--dc "127.0.0.1:1": "127.0.0.1:1" is no`:    {"--dc", "127.0.0.1:1", "services"},
		`--dc "eu1=" has no addresses`:               {"--dc", "eu1=", "services"},
		`--dc eu1 is given twice`:                    {"--dc", "eu1=a:1", "--dc", "eu1=b:1", "services"},
		`doesn't go with --registry_address`:         {"--dc", "eu1=a:1", "-a", "b:1", "services"},
		`is for one data center: give one --dc`:      {"--dc", "eu1=a:1", "--dc", "us1=b:1", "check"},
		`data center us1: invalid address`:           {"--dc", "us1=ftp://b:1", "services"},
		`--demo brings an etcd of its own, and does`: {"--dc", "us1=b:1", "ui", "--demo"},
	} {
		_, said := must(t, app.ExitFailed, nil, args...)
		require.Contains(t, said, want)
	}
}

func TestDNSAnswersForEveryDatacenter(t *testing.T) {
	_, us1, dcs := twoDatacenters(t)
	dir := t.TempDir()
	args := append(dcs, "--cache-dir", dir, "--http", "127.0.0.1:0")
	r, address := startDNS(t, nil, args...)
	awaitAnswers(t, address, greeterName, mdns.TypeSRV, 2)
	awaitAnswers(t, address, "greeter.service.us1.dc.micro.internal.", mdns.TypeSRV, 1)
	r.says("us1: Following etcd at /micro/registry/.")
	_, rest, _ := strings.Cut(r.err.String(), "Metrics at ")
	url, _, _ := strings.Cut(rest, "metrics.\n")
	_, metrics := get(t, url+"metrics")
	require.Contains(t, metrics, `micro_etcd_dns_nodes{dc="us1"} 1`)
	_, health := get(t, url+"healthz")
	require.Equal(t, "ok\n", health)

	us1.Stop()
	require.Eventually(t, func() bool {
		_, health = get(t, url+"healthz")
		return strings.HasPrefix(health, "ok\ndata center us1: stale: etcd can't be followed for ")
	}, patience, 10*time.Millisecond)
	awaitAnswers(t, address, "greeter.service.us1.dc.micro.internal.", mdns.TypeSRV, 1)
	require.Equal(t, app.ExitOK, r.stop())

	_, address = startDNS(t, nil, args...)
	awaitAnswers(t, address, "greeter.service.us1.dc.micro.internal.", mdns.TypeSRV, 1)
	awaitAnswers(t, address, greeterName, mdns.TypeSRV, 2)
}
