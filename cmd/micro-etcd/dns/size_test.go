package dns

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
)

func bigFleet(nodes int) []*fleet.Record {
	var all []*fleet.Record
	for i := range nodes {
		address := fmt.Sprintf("10.%d.%d.%d:8080", i>>16, i>>8&255, i&255)
		all = append(all, record("big", "1", fmt.Sprint("n", i), address))
	}
	return all
}

func pack(tb testing.TB, m *dns.Msg) []byte {
	tb.Helper()
	data, err := m.Pack()
	require.NoError(tb, err)
	return data
}

// TestAnswersFit: an answer is as large as can be, and says so if something that was asked for is missing.
func TestAnswersFit(t *testing.T) {
	c := configOf(t, "micro.internal")
	for _, tc := range []struct {
		nodes, edns int // edns is a client's size; 0 for none
		tcp         bool
		qtype       uint16
		limit       int
	}{
		{1, 0, false, dns.TypeA, 512},
		{29, 0, false, dns.TypeA, 512},
		{30, 0, false, dns.TypeA, 512},
		{1000, 0, false, dns.TypeA, 512},
		{1000, 100, false, dns.TypeA, 512},
		{1000, 700, false, dns.TypeA, 700},
		{1000, 4096, false, dns.TypeA, 1232},
		{1000, 0, true, dns.TypeA, 65535},
		{1000, 4096, true, dns.TypeA, 65535},
		{5000, 0, true, dns.TypeA, 65535},
		{5, 0, false, dns.TypeSRV, 512},
		{10, 0, false, dns.TypeSRV, 512},
		{20, 1232, false, dns.TypeSRV, 1232},
		{1000, 1232, false, dns.TypeSRV, 1232},
		{1000, 0, true, dns.TypeSRV, 65535},
		{2000, 0, true, dns.TypeSRV, 65535},
	} {
		label := fmt.Sprintf("%+v", tc)
		q := question("big.service.micro.internal", tc.qtype)
		q.TCP = tc.tcp
		if tc.edns > 0 {
			q.Msg.SetEdns0(uint16(tc.edns), false)
		}
		m := c.Answer(zoneOf(bigFleet(tc.nodes)...), q)
		size := len(pack(t, m))
		require.LessOrEqual(t, size, tc.limit, label)
		require.Equal(t, !tc.tcp && len(m.Answer) < tc.nodes, m.Truncated, label)
		if len(m.Answer) < tc.nodes {
			require.Greater(t, size, tc.limit-dns.Len(m.Answer[0]), label)
			require.LessOrEqual(t, len(m.Extra), 1, label)
		}
	}
}

func TestAdditionalAddressesGoFirst(t *testing.T) {
	m := configOf(t, "micro.internal").Answer(zoneOf(bigFleet(9)...), func() Query {
		q := question("big.service.micro.internal", dns.TypeSRV)
		q.TCP = false
		return q
	}())
	require.Len(t, m.Answer, 9)
	require.Empty(t, m.Extra)
	require.False(t, m.Truncated)
}

func TestNoMoreAnswersThanWanted(t *testing.T) {
	c := configOf(t, "micro.internal")
	c.MaxAnswers = 3
	z := zoneOf(bigFleet(100)...)
	seen := make(map[string]bool)
	for range 1000 {
		m := c.Answer(z, question("big.service.micro.internal", dns.TypeA))
		require.Len(t, m.Answer, 3)
		require.False(t, m.Truncated) // nobody would get more by TCP
		for _, rr := range m.Answer {
			seen[rr.String()] = true
		}
	}
	require.Len(t, seen, 100, "each node has its turn")
}

func TestMessagesThatAreNoQueriesForTheZone(t *testing.T) {
	c := configOf(t, "micro.internal")
	z := zoneOf(fleetForNames()...)
	for _, tc := range []struct {
		what  string
		spoil func(m *dns.Msg)
		rcode int
		why   uint16
	}{
		{"AXFR", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }, dns.RcodeRefused, dns.ExtendedErrorCodeNotSupported},
		{"IXFR", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeIXFR }, dns.RcodeRefused, dns.ExtendedErrorCodeNotSupported},
		{
			"CHAOS", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused,
			dns.ExtendedErrorCodeNotAuthoritative,
		},
		{
			"elsewhere", func(m *dns.Msg) { m.Question[0].Name = "example.com." }, dns.RcodeRefused,
			dns.ExtendedErrorCodeNotAuthoritative,
		},
		{"UPDATE", func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented, noError},
		{"NOTIFY", func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, dns.RcodeNotImplemented, noError},
		{"two questions", func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, dns.RcodeFormatError, noError},
		{"no question", func(m *dns.Msg) { m.Question = nil }, dns.RcodeFormatError, noError},
		{"EDNS 1", func(m *dns.Msg) { m.IsEdns0().SetVersion(1) }, dns.RcodeBadVers, noError},
		{"EDNS twice", func(m *dns.Msg) { m.SetEdns0(1232, true) }, dns.RcodeFormatError, noError},
	} {
		q := question("greeter.service.micro.internal", dns.TypeA)
		q.Msg.SetEdns0(1232, true)
		tc.spoil(q.Msg)
		var m dns.Msg
		require.NoError(t, m.Unpack(pack(t, c.Answer(z, q))), tc.what)
		require.Equal(t, dns.RcodeToString[tc.rcode], dns.RcodeToString[m.Rcode], tc.what)
		require.Equal(t, tc.why, why(&m), tc.what)
		require.Empty(t, m.Answer, tc.what)
		require.False(t, m.Authoritative, tc.what)
		require.True(t, m.IsEdns0().Do(), tc.what)
	}
}

// FuzzAnswer: whatever is asked, the answer repeats the question byte by byte, fits, and has all that was left out
// nowhere but where it says so.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		"greeter.service.micro.internal.", `go\.micro.service.micro.internal.`, `\000\255._tcp.micro.internal.`,
		strings.Repeat("a.", 110) + "service.micro.internal.", "_version.service.micro.internal.", ".",
		strings.Repeat("l", 63) + ".service.micro.internal.", "0a000001.addr.MICRO.internal.",
	} {
		f.Add(pack(f, question(text, dns.TypeSRV).Msg), true)
		f.Add(pack(f, question(text, dns.TypeANY).Msg), false)
	}
	z := zoneOf(append(fleetForNames(), bigFleet(100)...)...)
	c := configOf(f, "micro.internal", "x.micro.internal")
	f.Fuzz(func(t *testing.T, data []byte, tcp bool) {
		var m dns.Msg
		if m.Unpack(data) != nil {
			return
		}
		q := question(".", dns.TypeA)
		q.Msg, q.TCP = &m, tcp
		a := c.Answer(z, q)
		packed := pack(t, a)
		require.LessOrEqual(t, len(packed), q.limit())
		require.Equal(t, m.Id, a.Id)
		if len(m.Question) != 1 {
			return
		}
		asked := pack(t, &dns.Msg{Question: m.Question})[12:]
		require.True(t, bytes.HasPrefix(packed[12:], asked), "the question is another one")
		if len(a.Answer) == 0 && a.Authoritative {
			require.NotEmpty(t, a.Ns)
		}
	})
}
