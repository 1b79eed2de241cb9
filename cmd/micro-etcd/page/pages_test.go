package page

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/etcdtest"
)

// greeterAt is a record of a greeter with an address.
func greeterAt(address string) string { return strings.Replace(stored, "10.0.0.1:80", address, 1) }

func put(t *testing.T, srv *etcdtest.Server, key, value string) {
	t.Helper()
	_, err := srv.Client(t).Put(t.Context(), prefix+key, value)
	require.NoError(t, err)
}

func TestEachDatacenterIsShownByItself(t *testing.T) {
	eu1, us1 := etcdtest.Start(t), etcdtest.Start(t)
	put(t, eu1, "greeter/a", greeterAt("10.1.0.1:80"))
	put(t, us1, "greeter/a", greeterAt("10.9.0.1:80"))
	put(t, us1, "mail/b", strings.ReplaceAll(stored, "greeter", "mail"))
	base := serveAll(t, in(t, "eu1", eu1), in(t, "us1", us1))

	for query, want := range map[string]struct {
		datacenter, address string
		services            int
	}{
		"":               {"eu1", "10.1.0.1:80", 1},
		"?dc=eu1":        {"eu1", "10.1.0.1:80", 1},
		"?dc=us1":        {"us1", "10.9.0.1:80", 2},
		"?dc=us1&dc=eu1": {"us1", "10.9.0.1:80", 2},
	} {
		w := openIn(t, base, query)
		w.until("all is read", func() bool { return w.health.Connected && len(w.services) == want.services })
		require.Equal(t, want.datacenter, w.datacenter, query)
		w.until("the others are known", func() bool {
			return slices.Equal(w.datacenters, []datacenter{{Name: "eu1", Connected: true}, {Name: "us1", Connected: true}})
		})
		more := strings.Replace(query, "?", "&", 1)
		var d detail
		get(t, base+"/api/service?name=greeter"+more, &d)
		require.Equal(t, want.address, d.Nodes[0].Address, query)
		var found map[string]int
		get(t, base+"/api/search?find=zone%3Deast"+more, &found)
		require.Len(t, found, want.services, query)
	}

	_, body := fetch(t, base+"/metrics")
	for _, want := range []string{
		`micro_etcd_ui_services{dc="eu1"} 1`, `micro_etcd_ui_services{dc="us1"} 2`, `micro_etcd_ui_nodes{dc="us1"} 2`,
		`micro_etcd_ui_stale_seconds{dc="us1"} 0`,
	} {
		require.Contains(t, body, want+"\n")
	}
	code, body := fetch(t, base+"/healthz")
	require.Equal(t, []any{http.StatusOK, "ok\n"}, []any{code, body})
}

func TestADatacenterThatNobodyKnowsIsNotFound(t *testing.T) {
	srv := etcdtest.Start(t)
	for want, base := range map[string]string{
		"known are eu1, us1":    serveAll(t, in(t, "eu1", srv), in(t, "us1", srv)),
		"--dc gives them names": serve(t, srv),
	} {
		for _, path := range []string{
			"/?", "/api/stream?", "/api/service?name=x&", "/api/search?find=x&", "/sd?", "/sd?dc=eu1&",
		} {
			code, body := fetch(t, base+path+"dc=us2")
			require.Equal(t, http.StatusNotFound, code, path)
			require.Contains(t, body, want, path)
		}
		code, _ := fetch(t, base+"/")
		require.Equal(t, http.StatusOK, code)
	}
}

func TestADatacenterThatIsAwayLeavesTheOthersAlone(t *testing.T) {
	eu1, us1 := etcdtest.Start(t), etcdtest.Start(t)
	put(t, eu1, "greeter/a", greeterAt("10.1.0.1:80"))
	put(t, us1, "greeter/a", greeterAt("10.9.0.1:80"))
	away := in(t, "us1", us1)
	us1.Stop()
	base := serveAll(t, in(t, "eu1", eu1), away)
	here, there := open(t, base), openIn(t, base, "?dc=us1")
	told := func(connected bool) func() bool {
		return func() bool {
			all := here.datacenters
			return len(all) == 2 && all[0] == datacenter{Name: "eu1", Connected: true} &&
				all[1].Connected == connected && (all[1].Error == "") == connected
		}
	}
	here.until("it is said that us1 is away", told(false))
	here.until("eu1 is shown", func() bool { return here.services["greeter"].Nodes == 1 && here.health.Connected })
	there.until("us1's own view says why", func() bool { return there.health.Error != "" && !there.health.Read })

	code, body := fetch(t, base+"/healthz")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "data center us1: the records couldn't be read yet\n", body)
	code, body = fetch(t, base+"/sd")
	require.Equal(t, http.StatusServiceUnavailable, code, "else Prometheus would drop what it knows of us1")
	require.Contains(t, body, "data center us1: the records couldn't be read yet")
	targets := func(query string) (all []string) {
		var got []target
		get(t, base+"/sd"+query, &got)
		for _, g := range got {
			all = append(all, g.Labels["__meta_micro_datacenter"]+" "+g.Targets[0])
		}
		return all
	}
	require.Equal(t, []string{"eu1 10.1.0.1:80"}, targets("?dc=eu1"))

	require.NoError(t, us1.Restart())
	there.until("us1 is read", func() bool { return there.services["greeter"].Nodes == 1 && there.health.Connected })
	here.until("it is said that us1 is there", told(true))
	both := []string{"eu1 10.1.0.1:80", "us1 10.9.0.1:80"}
	require.Equal(t, both, targets(""))
	require.Equal(t, both, targets("?dc=us1&dc=eu1&dc=us1"))
	require.Equal(t, both[1:], targets("?dc=us1&service=greeter"))

	us1.Stop()
	here.until("it is said that us1 is away again", told(false))
	there.until("us1's last view stays", func() bool { return !there.health.Connected && there.health.Read })
	require.Equal(t, both, targets(""), "what was read last")
	_, body = fetch(t, base+"/healthz")
	require.Regexp(t, `^data center us1: stale: etcd can't be followed for \d+s now\n$`, body)
	_, body = fetch(t, base+"/metrics")
	require.Contains(t, body, "micro_etcd_ui_stale_seconds{dc=\"eu1\"} 0\n")
	require.NotContains(t, body, "micro_etcd_ui_stale_seconds{dc=\"us1\"} 0\n")
	put(t, eu1, "greeter/b", strings.ReplaceAll(greeterAt("10.1.0.2:80"), `"id":"a"`, `"id":"b"`))
	here.until("eu1 goes on", func() bool { return here.services["greeter"].Nodes == 2 })
	for _, e := range here.events {
		require.NotEqual(t, "disconnected", e.Kind, "events are each data center's own")
	}
	require.Equal(t, 1, here.snapshots)
}

func TestTheNameOfTheOnlyDatacenterIsTold(t *testing.T) {
	w := open(t, serveAll(t, in(t, "us1", etcdtest.Start(t))))
	w.until("etcd is followed", func() bool { return w.health.Connected })
	require.Equal(t, "us1", w.datacenter)
	require.Len(t, w.datacenters, 1)
	w = open(t, serve(t, etcdtest.Start(t)))
	w.until("etcd is followed", func() bool { return w.health.Connected })
	require.Empty(t, w.datacenter)
	require.Nil(t, w.datacenters)
}
