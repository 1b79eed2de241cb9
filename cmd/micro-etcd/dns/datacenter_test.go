package dns

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

func TestNamesInDatacenters(t *testing.T) {
	zones := NewZones("eu1", "us-1")
	zones[0].Take(connected(appeared(record("greeter", "1", "e1", "10.1.0.1:80"))))
	zones[1].Take(connected(appeared(
		record("greeter", "2", "u1", "10.9.0.1:80"), record("dc", "1", "d1", "10.9.0.2:80"),
	)))
	c := configOf(t, "micro.internal")
	for _, q := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string // "" for no answer
	}{
		{"greeter.service", dns.TypeA, dns.RcodeSuccess, "10.1.0.1"},
		{"greeter.service.eu1.dc", dns.TypeA, dns.RcodeSuccess, "10.1.0.1"},
		{"greeter.service.us-1.dc", dns.TypeA, dns.RcodeSuccess, "10.9.0.1"},
		{"GREETER.SERVICE.US-1.DC", dns.TypeA, dns.RcodeSuccess, "10.9.0.1"},
		{"greeter.service.us-1.dc", dns.TypeSRV, dns.RcodeSuccess, "1 1 80 0a090001.addr.us-1.dc.micro.internal."},
		{"_greeter._tcp.service.us-1.dc", dns.TypeSRV, dns.RcodeSuccess, "1 1 80 0a090001.addr.us-1.dc.micro.internal."},
		{"2._version.greeter.service.us-1.dc", dns.TypeA, dns.RcodeSuccess, "10.9.0.1"},
		{"1._version.greeter.service.us-1.dc", dns.TypeA, dns.RcodeNameError, ""},
		{"0a090001.addr.us-1.dc", dns.TypeA, dns.RcodeSuccess, "10.9.0.1"},
		{"0a090001.addr", dns.TypeA, dns.RcodeNameError, ""},
		{"0a090001.addr.eu1.dc", dns.TypeA, dns.RcodeNameError, ""},
		{"dc.service.us-1.dc", dns.TypeA, dns.RcodeSuccess, "10.9.0.2"},
		{"dc", dns.TypeA, dns.RcodeSuccess, ""},
		{"us-1.dc", dns.TypeA, dns.RcodeSuccess, ""},
		{"us-1.dc", dns.TypeSOA, dns.RcodeSuccess, ""},
		{"service.us-1.dc", dns.TypeA, dns.RcodeSuccess, ""},
		{"ns.us-1.dc", dns.TypeA, dns.RcodeNameError, ""},
		{"us-2.dc", dns.TypeA, dns.RcodeNameError, ""},
		{"greeter.service.us-2.dc", dns.TypeA, dns.RcodeNameError, ""},
		{"greeter.service.x.us-1.dc", dns.TypeA, dns.RcodeNameError, ""},
		{"greeter.service.eu1.dc.us-1.dc", dns.TypeA, dns.RcodeNameError, ""},
	} {
		m := c.Answer(zones[0], question(q.name+".micro.internal", q.qtype))
		require.Equal(t, q.rcode, m.Rcode, q.name)
		var got []string
		for _, rr := range m.Answer {
			got = append(got, strings.SplitN(rr.String(), "\t", 5)[4])
		}
		require.Equal(t, q.want, strings.Join(got, ", "), "%s %s", q.name, dns.TypeToString[q.qtype])
		if q.want == "" {
			require.Equal(t, "micro.internal.", m.Ns[0].Header().Name, "one zone has them all: %s", q.name)
		}
	}
}

// What isn't known of one data center says nothing of another.
func TestEachDatacenterIsAsCurrentAsItsEtcd(t *testing.T) {
	zones := NewZones("eu1", "us1")
	c := configOf(t, "micro.internal")
	rcode := func(name string) string {
		return dns.RcodeToString[c.Answer(zones[0], question(name+".micro.internal", dns.TypeA)).Rcode]
	}
	zones[1].Take(connected(appeared(record("greeter", "2", "u1", "10.9.0.1:80"))))
	require.Equal(t, "SERVFAIL", rcode("greeter.service"))
	require.Equal(t, "SERVFAIL", rcode("greeter.service.eu1.dc"))
	require.Equal(t, "NOERROR", rcode("greeter.service.us1.dc"))
	zones[0].Take(connected(nil))
	require.Equal(t, "NXDOMAIN", rcode("greeter.service"))
}

func TestADomainLeavesRoomForItsDatacenters(t *testing.T) {
	long := strings.Repeat("d", 63) + "." + strings.Repeat("d", 63) + "." + strings.Repeat("d", 60)
	require.NoError(t, (&Config{}).AddDomain(long))
	require.Error(t, (&Config{Datacenters: []string{strings.Repeat("e", 63)}}).AddDomain(long))
}
