package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/test/leak"
)

func TestMain(m *testing.M) { leak.Verify(m) }

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// record is what etcd has of a node, with its metadata as key=value.
func record(service, version, id, address string, metadata ...string) *fleet.Record {
	node := &catalog.Node{Id: id, Address: address, Metadata: make(map[string]string)}
	for _, text := range metadata {
		key, value, _ := strings.Cut(text, "=")
		node.Metadata[key] = value
	}
	return &fleet.Record{
		Key:     "/micro/registry/" + strings.ReplaceAll(service, "/", "-") + "/" + id,
		Service: &catalog.Service{Name: service, Version: version, Nodes: []*catalog.Node{node}},
	}
}

func appeared(all ...*fleet.Record) []fleet.Event {
	var events []fleet.Event
	for _, r := range all {
		events = append(events, fleet.Event{At: began, Kind: fleet.Appeared, Revision: 7, Record: r})
	}
	return events
}

func gone(all ...*fleet.Record) []fleet.Event {
	var events []fleet.Event
	for _, r := range all {
		events = append(events, fleet.Event{At: began, Kind: fleet.Gone, Revision: 8, Before: r})
	}
	return events
}

func connected(events []fleet.Event) []fleet.Event {
	return append(events, fleet.Event{At: began, Kind: fleet.Connected, Revision: 7, Cluster: 1})
}

func zoneOf(all ...*fleet.Record) *Zone {
	z := NewZone()
	z.Take(connected(appeared(all...)))
	return z
}

func configOf(tb testing.TB, domains ...string) *Config {
	tb.Helper()
	c := &Config{TTL: 5 * time.Second, NegativeTTL: 3 * time.Second}
	for _, d := range domains {
		require.NoError(tb, c.AddDomain(d))
	}
	return c
}

func question(text string, qtype uint16) Query {
	return Query{
		Msg: new(dns.Msg).SetQuestion(dns.Fqdn(text), qtype), At: began, TCP: true,
		To: func() netip.Addr { return netip.MustParseAddr("192.0.2.53") },
	}
}

// told is an answer in short: its code, or what is in its Answer, sorted, without owners and classes.
func told(m *dns.Msg) string {
	if m.Rcode != dns.RcodeSuccess {
		return dns.RcodeToString[m.Rcode]
	}
	if len(m.Answer) == 0 {
		return "NODATA"
	}
	var all []string
	for _, rr := range m.Answer {
		fields := strings.Split(rr.String(), "\t")
		all = append(all, strings.Join(fields[3:], " "))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func fleetForNames() []*fleet.Record {
	return []*fleet.Record{
		record("greeter", "1.2", "g1", "10.0.0.1:8080"),
		record("greeter", "1.2", "g2", "10.0.0.1:8081", "weight=0"),
		record("greeter", "2", "g3", "10.0.0.2:8080", "weight=6.5"),
		record("greeter", "2", "g4", "[2001:db8::1]:9090"),
		record("greeter", "2", "g5", "[::ffff:10.0.0.3]:70"),
		record("go.micro.srv.Hello", "latest", "h1", "10.0.1.1:1"),
		record("micro.srv", "1", "m1", "10.0.1.2:1"),
		record("acme/shop.front", "1", "s1", "10.0.2.1:1"),
		record("hosts", "1", "x1", "db-1.example.org:5432"),
		record("hosts", "1", "x2", "10.0.3.1"),
		record("nowhere", "1", "n1", "unix:/run/x.sock"),
		record("nowhere", "1", "n2", "0.0.0.0:80"),
		record("nowhere", "1", "n3", "[fe80::1%eth0]:80"),
		record("nowhere", "1", "n4", ""),
		record("Twin", "1", "t1", "10.0.4.1:1"),
		record("twin", "1", "t2", "10.0.4.2:1"),
		record("a-b", "1", "d1", "10.0.5.1:1"),
		record("a/b", "1", "d2", "10.0.5.2:1"),
		record("versions", "V1", "v1", "10.0.6.1:1"),
		record("versions", "v1", "v2", "10.0.6.2:1"),
		record("versions", "", "v3", "10.0.6.3:1"),
		record("versions", "x.a", "v4", "10.0.6.4:1"),
		record("versions", "x.A", "v5", "10.0.6.4:1"),
		record("versions", "X.A", "v6", "10.0.6.4:1"),
		record("with spaces_and@", "1", "w1", "10.0.7.1:1"),
		record("..", "1", "y1", "10.0.8.1:1"),
		record(strings.Repeat("l", 64), "1", "y2", "10.0.8.2:1"),
		record("web", "1", "u1", "http://10.0.9.1:8000"),
		record("dup", "1", "p1", "10.0.9.9:80", "weight=0"),
		record("dup", "1", "p2", "10.0.9.9:80", "weight=5"),
		record("dup", "1", "p3", "Db.example.org.:80"),
		record("dup", "1", "p4", "db.example.org:80"),
		record("dup", "1", "p5", "10.0.0.256:80"),
		record("dup", "1", "p6", "https://secure.example.org"),
	}
}

func TestNames(t *testing.T) {
	z := zoneOf(fleetForNames()...)
	c := configOf(t, "micro.internal", "Example.ORG.", "dev.eu.micro.internal")
	const g = "A 10.0.0.1, A 10.0.0.2, A 10.0.0.3"
	const srv = "SRV 1 0 8081 0a000001.addr.micro.internal., SRV 1 1 70 0a000003.addr.micro.internal., " +
		"SRV 1 1 8080 0a000001.addr.micro.internal., SRV 1 1 9090 20010db8000000000000000000000001.addr.micro.internal., " +
		"SRV 1 7 8080 0a000002.addr.micro.internal."
	for _, tc := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		// a service
		{"greeter.service", dns.TypeA, g},
		{"GREEter.serVICE", dns.TypeA, g},
		{"greeter.service", dns.TypeAAAA, "AAAA 2001:db8::1"},
		{"greeter.service", dns.TypeSRV, srv},
		{"greeter.service", dns.TypeANY, g},
		{"greeter.service", dns.TypeMX, "NODATA"},
		{"greeter.service", dns.TypeDS, "NODATA"},
		{"greeter.service", dns.TypeNS, "NODATA"},
		{"greeter.service", dns.TypeHTTPS, "NODATA"},
		{"unknown.service", dns.TypeA, "NXDOMAIN"},
		{"x.greeter.service", dns.TypeA, "NXDOMAIN"},
		// with dots, and names above it
		{"go.micro.srv.hello.service", dns.TypeA, "A 10.0.1.1"},
		{"micro.srv.hello.service", dns.TypeA, "NODATA"},
		{"hello.service", dns.TypeAAAA, "NODATA"},
		{"micro.srv.service", dns.TypeA, "A 10.0.1.2"},
		{"srv.service", dns.TypeA, "NODATA"},
		{"service", dns.TypeA, "NODATA"},
		{`go\.micro.srv.hello.service`, dns.TypeA, "NXDOMAIN"},
		// RFC 2782
		{"_greeter._tcp.service", dns.TypeSRV, srv},
		{"_greeter._tcp", dns.TypeSRV, srv},
		{"_Greeter._UDP.service", dns.TypeSRV, srv},
		{"_greeter._tcp.service", dns.TypeA, "NODATA"},
		{"_go.micro.srv.hello._tcp.service", dns.TypeSRV, "SRV 1 1 1 0a000101.addr.micro.internal."},
		{"micro.srv.hello._tcp.service", dns.TypeSRV, "NODATA"},
		{"srv.hello._tcp", dns.TypeSRV, "NODATA"},
		{"_micro.srv.hello._tcp", dns.TypeSRV, "NXDOMAIN"},
		{"greeter._tcp", dns.TypeSRV, "NXDOMAIN"},
		{"_unknown._tcp", dns.TypeSRV, "NXDOMAIN"},
		{"_._tcp", dns.TypeSRV, "NXDOMAIN"},
		{"_tcp.service", dns.TypeSRV, "NODATA"},
		{"_udp", dns.TypeSRV, "NODATA"},
		{"_twin._tcp", dns.TypeSRV, "NODATA"},
		// versions
		{"1.2._version.greeter.service", dns.TypeA, "A 10.0.0.1"},
		{"2._version.greeter.service", dns.TypeA, "A 10.0.0.2, A 10.0.0.3"},
		{"3._version.greeter.service", dns.TypeA, "NXDOMAIN"},
		{"1._version.greeter.service", dns.TypeA, "NXDOMAIN"},
		{"_version.greeter.service", dns.TypeA, "NODATA"},
		{"LATEST._version.go.micro.srv.hello.service", dns.TypeA, "A 10.0.1.1"},
		{"1._version.hello.service", dns.TypeA, "NXDOMAIN"},
		{"v1._version.versions.service", dns.TypeA, "NODATA"},
		{"x.a._version.versions.service", dns.TypeA, "NODATA"},
		{"a._version.versions.service", dns.TypeA, "NODATA"},
		{"versions.service", dns.TypeA, "A 10.0.6.1, A 10.0.6.2, A 10.0.6.3, A 10.0.6.4"},
		{"_version.service", dns.TypeA, "NXDOMAIN"},
		// "/"
		{"acme-shop.front.service", dns.TypeA, "A 10.0.2.1"},
		{"acme/shop.front.service", dns.TypeA, "A 10.0.2.1"},
		{"front.service", dns.TypeA, "NODATA"},
		{"a-b.service", dns.TypeA, "A 10.0.5.1"},
		{"a/b.service", dns.TypeA, "A 10.0.5.2"},
		// addresses
		{"0a000001.addr", dns.TypeA, "A 10.0.0.1"},
		{"0A000001.addr", dns.TypeA, "A 10.0.0.1"},
		{"0a000001.addr", dns.TypeAAAA, "NODATA"},
		{"20010db8000000000000000000000001.addr", dns.TypeAAAA, "AAAA 2001:db8::1"},
		{"00000000000000000000ffff0a000001.addr", dns.TypeA, "NXDOMAIN"},
		{"0a0000ff.addr", dns.TypeA, "NXDOMAIN"},
		{"7f000001.addr", dns.TypeA, "NXDOMAIN"},
		{"0a00.addr", dns.TypeA, "NXDOMAIN"},
		{"x.0a000001.addr", dns.TypeA, "NXDOMAIN"},
		{"addr", dns.TypeA, "NODATA"},
		{"dc", dns.TypeA, "NODATA"},
		// what isn't an IP address with a port
		{"hosts.service", dns.TypeA, "A 10.0.3.1"},
		{"hosts.service", dns.TypeSRV, "SRV 1 1 5432 db-1.example.org."},
		{"nowhere.service", dns.TypeA, "NODATA"},
		{"nowhere.service", dns.TypeSRV, "NODATA"},
		{"nowhere.service", dns.TypeANY, "NODATA"},
		{"greeter.service", dns.TypeHINFO, "NODATA"},
		{"web.service", dns.TypeSRV, "SRV 1 1 8000 0a000901.addr.micro.internal."},
		{
			"dup.service", dns.TypeSRV,
			"SRV 1 1 443 secure.example.org., SRV 1 1 80 db.example.org., SRV 1 5 80 0a000909.addr.micro.internal.",
		},
		// two services of one name
		{"twin.service", dns.TypeA, "NODATA"},
		{"Twin.service", dns.TypeA, "NODATA"},
		{`with\032spaces_and\@.service`, dns.TypeA, "A 10.0.7.1"},
		// the server
		{"", dns.TypeSOA, "SOA ns.micro.internal. hostmaster.micro.internal. 7 3600 600 86400 3"},
		{"", dns.TypeNS, "NS ns.micro.internal."},
		{"", dns.TypeA, "NODATA"},
		{"", dns.TypeDNSKEY, "NODATA"},
		{"ns", dns.TypeA, "A 192.0.2.53"},
		{"ns", dns.TypeAAAA, "NODATA"},
		{"x.ns", dns.TypeA, "NXDOMAIN"},
		{"unknown", dns.TypeA, "NXDOMAIN"},
		// above another domain
		{"eu", dns.TypeA, "NODATA"},
		{"u", dns.TypeA, "NXDOMAIN"},
		{"greeter.service.dev.eu", dns.TypeAAAA, "AAAA 2001:db8::1"},
	} {
		full := strings.TrimPrefix(tc.name+".micro.internal.", ".")
		q := question(full, tc.qtype)
		m := c.Answer(z, q)
		label := fmt.Sprintf("%s %s", full, dns.TypeToString[tc.qtype])
		require.Equal(t, tc.want, told(m), label)
		require.True(t, m.Authoritative && m.Response && !m.RecursionAvailable && !m.Truncated, label)
		require.Equal(t, q.Msg.Question, m.Question, label)
		if len(m.Answer) == 0 {
			soa, ok := m.Ns[0].(*dns.SOA)
			require.True(t, ok, label)
			require.Equal(t, []uint32{3, 3}, []uint32{soa.Hdr.Ttl, soa.Minttl}, label)
		}
		for _, rr := range m.Answer {
			require.Equal(t, q.Msg.Question[0].Name, rr.Header().Name, label)
		}
	}
	require.Equal(t, "A 10.0.1.2", told(c.Answer(z, question("micro.srv.service.example.org", dns.TypeA))))
	for _, elsewhere := range []string{
		".", "internal", "xmicro.internal", `greeter.service\.micro.internal`, "example.com",
	} {
		m := c.Answer(z, question(elsewhere, dns.TypeA))
		require.Equal(t, "REFUSED", told(m), elsewhere)
		require.False(t, m.Authoritative)
	}
}

func TestTheAddressesOfTargetsComeAlong(t *testing.T) {
	c, z := configOf(t, "micro.internal"), zoneOf(fleetForNames()...)
	m := c.Answer(z, question("greeter.service.micro.internal", dns.TypeSRV))
	var all []string
	for _, rr := range m.Extra {
		all = append(all, rr.String())
	}
	slices.Sort(all)
	require.Equal(t, []string{
		"0a000001.addr.micro.internal.\t5\tIN\tA\t10.0.0.1",
		"0a000002.addr.micro.internal.\t5\tIN\tA\t10.0.0.2",
		"0a000003.addr.micro.internal.\t5\tIN\tA\t10.0.0.3",
		"20010db8000000000000000000000001.addr.micro.internal.\t5\tIN\tAAAA\t2001:db8::1",
	}, all)
}
