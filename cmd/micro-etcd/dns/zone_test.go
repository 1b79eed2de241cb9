package dns

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/cachefile"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// why returns the extended error of an answer, noError for none.
func why(m *dns.Msg) uint16 {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				return e.InfoCode
			}
		}
	}
	return noError
}

func TestWhatIsToldDependsOnHowCurrentTheZoneIs(t *testing.T) {
	c := configOf(t, "micro.internal")
	z := NewZone()
	ask := func(service string, at time.Time) (string, uint16) {
		q := question(service+".service.micro.internal", dns.TypeA)
		q.Msg.SetEdns0(1232, false)
		q.At = at
		m := c.Answer(z, q)
		return told(m), why(m)
	}
	requireTold := func(service string, at time.Time, want string, code uint16) {
		t.Helper()
		got, because := ask(service, at)
		require.Equal(t, want, got)
		require.Equal(t, code, because)
	}
	later := began.Add(time.Hour)
	requireTold("a", began, "SERVFAIL", dns.ExtendedErrorCodeNotReady)
	lost := []fleet.Event{{At: began, Kind: fleet.Disconnected}}
	z.Take(lost)
	requireTold("a", began, "SERVFAIL", dns.ExtendedErrorCodeNotReady)

	// a file stands in until there is a list
	file := &cachefile.File{AsOf: began.Add(-time.Minute), Cluster: 1, Revision: 5}
	z.Load(file, []*catalog.Record{record("a", "1", "a1", "10.0.0.1:1").CatalogRecord()})
	requireTold("a", began, "A 10.0.0.1", dns.ExtendedErrorCodeStaleAnswer)
	requireTold("b", began, "NXDOMAIN", dns.ExtendedErrorCodeStaleNXDOMAINAnswer)
	z.Take(connected(appeared(record("b", "1", "b1", "10.0.0.2:1"))))
	requireTold("a", later, "NXDOMAIN", noError)
	requireTold("b", later, "A 10.0.0.2", noError)
	z.Load(file, []*catalog.Record{record("a", "1", "a1", "10.0.0.1:1").CatalogRecord()})
	requireTold("a", later, "NXDOMAIN", noError)

	z.Take(lost)
	requireTold("b", later, "A 10.0.0.2", dns.ExtendedErrorCodeStaleAnswer)
	c.MaxStale = 30 * time.Minute
	requireTold("b", later, "SERVFAIL", dns.ExtendedErrorCodeNetworkError)
	requireTold("a", later, "SERVFAIL", dns.ExtendedErrorCodeNetworkError)
	requireTold("b", began.Add(30*time.Minute), "A 10.0.0.2", dns.ExtendedErrorCodeStaleAnswer)
	z.Take(connected(nil))
	requireTold("b", later, "A 10.0.0.2", noError)
}

func TestItAnswersForAsLongAsMaxStale(t *testing.T) {
	lost := state{ready: true, stale: began}
	for _, c := range []struct {
		maxStale, after time.Duration
		want            freshness
	}{
		{0, 0, stale},
		{0, 100 * 365 * 24 * time.Hour, stale}, // for ever
		{1, 0, stale},
		{1, 1, stale},
		{1, 2, expired},
		{time.Minute, time.Minute, stale},
		{time.Minute, time.Minute + 1, expired},
		{time.Minute, -time.Minute, stale}, // the clock was set back
	} {
		require.Equal(t, c.want, lost.freshness(began.Add(c.after), c.maxStale), "%+v", c)
		require.Equal(t, fresh, state{ready: true}.freshness(began.Add(c.after), c.maxStale))
		require.Equal(t, unknown, state{stale: began}.freshness(began.Add(c.after), c.maxStale))
	}
}

func TestWhatAWipeTookStaysForAWhile(t *testing.T) {
	c := configOf(t, "micro.internal")
	a, b := record("a", "1", "a1", "10.0.0.1:1"), record("b", "1", "b1", "10.0.0.2:1")
	z := zoneOf(a, b)
	ask := func(service string, at time.Time) string {
		q := question(service+".service.micro.internal", dns.TypeA)
		q.At = at
		return told(c.Answer(z, q))
	}
	wiped := connected(gone(a, b))
	wiped[len(wiped)-1].Rewritten = true
	z.Take(wiped)
	require.Equal(t, "A 10.0.0.1", ask("a", began.Add(fleet.SettleTime)))
	z.Take(appeared(record("a", "1", "a1", "10.0.0.9:1")))
	require.Equal(t, "A 10.0.0.9", ask("a", began))
	require.Equal(t, "A 10.0.0.2", ask("b", began.Add(fleet.SettleTime)))
	require.Equal(t, "NXDOMAIN", ask("b", began.Add(fleet.SettleTime+1)))
	require.Equal(t, "A 10.0.0.9", ask("a", began.Add(fleet.SettleTime+1)))
	z.Take(gone(record("a", "1", "a1", "10.0.0.9:1")))
	require.Equal(t, "NXDOMAIN", ask("a", began))
}

func TestWhatAWipeTookStaysForAWhileAfterAStartFromAFile(t *testing.T) {
	c := configOf(t, "micro.internal")
	record := record("a", "1", "a1", "10.0.0.1:1").CatalogRecord()
	for what, file := range map[string]*cachefile.File{
		"another cluster":   {AsOf: began, Cluster: 2, Revision: 5},
		"a lower revision":  {AsOf: began, Cluster: 1, Revision: 50},
		"the same, and now": {AsOf: began, Cluster: 1, Revision: 5},
	} {
		z := NewZone()
		z.Load(file, []*catalog.Record{record})
		z.Take(connected(nil))
		q := question("a.service.micro.internal", dns.TypeA)
		if what == "the same, and now" {
			require.Equal(t, "NXDOMAIN", told(c.Answer(z, q)), what)
			continue
		}
		require.Equal(t, "A 10.0.0.1", told(c.Answer(z, q)), what)
		q.At = began.Add(fleet.SettleTime + 1)
		require.Equal(t, "NXDOMAIN", told(c.Answer(z, q)), what)
	}
}

func TestADrainedNodeIsLeftOut(t *testing.T) {
	c := configOf(t, "micro.internal")
	in, other := record("a", "1", "a1", "10.0.0.1:1"), record("a", "1", "a2", "10.0.0.2:1")
	out := record("a", "1", "a1", "10.0.0.1:1")
	out.Key, out.Notice = "/micro/registry/a/.out-of-service/a1", &catalog.Notice{By: "alice"}
	z := zoneOf(in, other)
	z.Take(append(gone(in), appeared(out)...))
	require.Equal(t, "A 10.0.0.2", told(c.Answer(z, question("a.service.micro.internal", dns.TypeA))))
	require.Equal(t, "NXDOMAIN", told(c.Answer(z, question("0a000001.addr.micro.internal", dns.TypeA))))
	z.Take(append(gone(out), appeared(in)...))
	require.Equal(t, "A 10.0.0.1, A 10.0.0.2", told(c.Answer(z, question("a.service.micro.internal", dns.TypeA))))
}

// TestAZoneThatChangesIsAsIfItHadBegunThere compares a zone after random changes with one that begins with the result.
func TestAZoneThatChangesIsAsIfItHadBegunThere(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	names := []string{"a", "A", "b.a", "c.b.a", "x/y", "x-y", "x/y.a", "..", "v.w"}
	z := zoneOf()
	has := make(map[string]*fleet.Record)
	for range 2000 {
		service, id := names[random.IntN(len(names))], fmt.Sprint(random.IntN(3))
		address := fmt.Sprintf("10.0.0.%d:%d", random.IntN(6), random.IntN(3))
		r := record(service, fmt.Sprint("1.", random.IntN(3)), id, address)
		r.Key = fmt.Sprint("/micro/registry/", service, "/", id)
		switch old := has[r.Key]; {
		case old == nil:
			z.Take(appeared(r))
			has[r.Key] = r
		case random.IntN(2) == 0:
			z.Take(gone(old))
			delete(has, r.Key)
		default:
			z.Take([]fleet.Event{{At: began, Kind: fleet.Changed, Revision: 7, Record: r, Before: old}})
			has[r.Key] = r
		}
		var all []*fleet.Record
		for _, r := range has {
			all = append(all, r)
		}
		fresh := zoneOf(all...)
		require.Equal(t, fresh.addrs, z.addrs)
		require.Equal(t, flat(fresh), flat(z))
	}
}

// flat is what the names of a zone stand for, in a form that can be compared.
func flat(z *Zone) map[name]string {
	all := make(map[name]string)
	for n, p := range z.names {
		all[n] = fmt.Sprintf("%d services, %d dashed, above %d", len(p.services), len(p.dashed), p.below)
		if s := p.service(); s != nil {
			all[n] += fmt.Sprint(s.nodes.v4, s.nodes.v6, len(s.nodes.targets), len(s.versions))
		}
	}
	return all
}

func TestAddressesThatSeveralServicesHaveStayUntilTheLastOneGoes(t *testing.T) {
	a, b := record("a", "1", "a1", "10.0.0.1:1"), record("b", "1", "b1", "10.0.0.1:2")
	z := zoneOf(a, b)
	z.Take(gone(a))
	require.Equal(t, map[netip.Addr]int{netip.MustParseAddr("10.0.0.1"): 1}, z.addrs)
	z.Take(gone(b))
	require.Empty(t, z.addrs)
	require.Empty(t, z.names)
}
