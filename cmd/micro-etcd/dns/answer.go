package dns

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// Config says for which domains is answered, and how.
type Config struct {
	origins []origin
	// Datacenters are those below dc.
	Datacenters []string
	// TTL is for how long others may keep what they are told, and NegativeTTL that there is nothing.
	TTL, NegativeTTL time.Duration
	// MaxStale is how long is answered while etcd can't be followed; 0 is for ever.
	MaxStale time.Duration
	// MaxAnswers is how many records an answer has; 0 is as many as fit.
	MaxAnswers int
}

// origin is a domain that is answered for.
type origin struct {
	name name
	text string // in the form of zone files, with the dot at its end
}

// AddDomain adds a domain that is answered for.
func (c *Config) AddDomain(text string) error {
	n, ok := parseName(dns.Fqdn(text))
	for _, o := range c.origins {
		if isHidden(n, o.name) || isHidden(o.name, n) {
			return fmt.Errorf("%q and %q are in each other's way", text, o.text)
		}
	}
	switch {
	case !ok || n == "":
		return fmt.Errorf("%q is no domain name", text)
	case len(n)+c.longest() > maxName:
		return fmt.Errorf("%q is too long: it leaves no room for names below it", text)
	}
	c.origins = append(c.origins, origin{n, dns.CanonicalName(text)})
	return nil
}

// longest returns the length of the longest names of addresses.
func (c *Config) longest() int {
	most := len(addrName(netip.IPv6Unspecified(), ""))
	for _, dc := range c.Datacenters {
		most = max(most, len(addrName(netip.IPv6Unspecified(), dc)))
	}
	return most
}

// isHidden reports whether a domain is where another one has its services, or its addresses.
func isHidden(n, origin name) bool {
	rest, ok := n.below(origin)
	_, label := rest.last()
	switch label {
	case serviceLabel, addrLabel, dcLabel, nsLabel, tcpLabel, udpLabel:
		return ok
	}
	return false
}

// isAboveOrigin reports whether a domain is below a name, which exists then.
func (c *Config) isAboveOrigin(n name) bool {
	return slices.ContainsFunc(c.origins, func(o origin) bool { _, ok := o.name.below(n); return ok })
}

// noError is no extended error (RFC 8914), whose codes begin at 0.
const noError = ^uint16(0)

// Answer returns the answer to a query. It never is nil, and never larger than the client and the transport can take.
func (c *Config) Answer(z *Zone, q Query) *dns.Msg {
	a := &answer{Query: q, config: c, msg: new(dns.Msg).SetReply(q.Msg), why: noError}
	if rcode, why := q.refusal(); rcode != dns.RcodeSuccess {
		a.fail(rcode, why)
	} else {
		a.fill(z)
	}
	a.fit()
	return a.msg
}

// Refuse returns the answer to who may not ask.
func Refuse(q Query) *dns.Msg {
	a := &answer{Query: q, msg: new(dns.Msg).SetReply(q.Msg)}
	a.fail(dns.RcodeRefused, dns.ExtendedErrorCodeProhibited)
	a.fit()
	return a.msg
}

// answer is one that is being made.
type answer struct {
	Query
	config *Config
	msg    *dns.Msg
	origin *origin
	dc     string // that the name is in; "" for none
	serial uint32
	why    uint16 // an extended error
}

func (a *answer) fail(rcode int, why uint16) {
	a.msg.Rcode, a.why = rcode, why
	a.msg.Authoritative = false
}

// fill answers from the zone.
func (a *answer) fill(z *Zone) {
	below, ok := a.match()
	if !ok {
		a.fail(dns.RcodeRefused, dns.ExtendedErrorCodeNotAuthoritative)
		return
	}
	a.msg.Authoritative = true
	z, inside, dc := z.in(below)
	a.dc = dc
	r, s := z.lookup(inside, a.At)
	a.serial = uint32(s.revision) //nolint:gosec // serial numbers wrap around (RFC 1982)
	freshness := s.freshness(a.At, a.config.MaxStale)
	switch freshness {
	case unknown:
		a.fail(dns.RcodeServerFailure, dns.ExtendedErrorCodeNotReady) // not NXDOMAIN, which would be kept
		return
	case expired:
		a.fail(dns.RcodeServerFailure, dns.ExtendedErrorCodeNetworkError)
		return
	case stale:
		a.why = dns.ExtendedErrorCodeStaleAnswer
	case fresh:
	}
	label, rest := below.first()
	switch {
	case below == "":
		a.addApex()
	case label == nsLabel && rest == "":
		a.addRecords(recordsOf(a.To().Unmap()))
	case r != nil:
		a.addRecords(r)
	case inside == "": // a data center
	case a.config.isAboveOrigin(below + a.origin.name):
	default:
		a.msg.Rcode = dns.RcodeNameError
		if freshness == stale {
			a.why = dns.ExtendedErrorCodeStaleNXDOMAINAnswer
		}
	}
	if len(a.msg.Answer) == 0 {
		a.msg.Ns = []dns.RR{a.soa()}
	}
}

// match finds the domain that a question is about, the longest one.
func (a *answer) match() (below name, ok bool) {
	asked, ok := parseName(a.msg.Question[0].Name)
	if !ok {
		return "", false
	}
	for i := range a.config.origins {
		o := &a.config.origins[i]
		if rest, ok := asked.below(o.name); ok && (a.origin == nil || len(o.name) > len(a.origin.name)) {
			a.origin, below = o, rest
		}
	}
	return below, a.origin != nil
}

func (a *answer) addApex() {
	switch a.msg.Question[0].Qtype {
	case dns.TypeSOA, dns.TypeANY:
		a.msg.Answer = []dns.RR{a.soa()}
	case dns.TypeNS:
		ns := a.nameServer()
		a.msg.Answer = []dns.RR{&dns.NS{Hdr: a.header(a.msg.Question[0].Name, dns.TypeNS), Ns: ns}}
		a.msg.Extra = a.addrs(ns, a.To().Unmap())
	}
}

func (a *answer) nameServer() string { return nsLabel + "." + a.origin.text }

func (a *answer) soa() dns.RR {
	seconds := seconds(a.config.NegativeTTL)
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: a.origin.text, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: seconds},
		Ns:  a.nameServer(), Mbox: "hostmaster." + a.origin.text, Serial: a.serial,
		Refresh: 3600, Retry: 600, Expire: 86400, // for secondaries, of which there are none
		Minttl: seconds,
	}
}

func (a *answer) header(owner string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: seconds(a.config.TTL)}
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }

// addRecords adds those of the type that is asked for. For ANY that is one that there is (RFC 8482).
func (a *answer) addRecords(r *records) {
	qtype := a.msg.Question[0].Qtype
	switch {
	case qtype != dns.TypeANY:
	case len(r.v4) > 0:
		qtype = dns.TypeA
	case len(r.v6) > 0:
		qtype = dns.TypeAAAA
	default:
		qtype = dns.TypeSRV
	}
	owner := a.msg.Question[0].Name
	switch qtype {
	case dns.TypeA:
		a.msg.Answer = a.addrs(owner, choose(r.v4, a.atMost(sizeOfA))...)
	case dns.TypeAAAA:
		a.msg.Answer = a.addrs(owner, choose(r.v6, a.atMost(sizeOfA))...)
	case dns.TypeSRV:
		a.addTargets(owner, choose(r.targets, a.atMost(sizeOfSRV)))
	}
}

// Least sizes of records, with names compressed as far as they may be.
const (
	sizeOfA   = 16
	sizeOfSRV = 19
)

// addrs returns the records of addresses.
func (a *answer) addrs(owner string, addrs ...netip.Addr) []dns.RR {
	rrs := make([]dns.RR, 0, len(addrs))
	for _, addr := range addrs {
		switch {
		case addr.Is4():
			rrs = append(rrs, &dns.A{Hdr: a.header(owner, dns.TypeA), A: net.IP(addr.AsSlice())})
		case addr.Is6():
			rrs = append(rrs, &dns.AAAA{Hdr: a.header(owner, dns.TypeAAAA), AAAA: net.IP(addr.AsSlice())})
		}
	}
	return rrs
}

// addTargets adds targets, and their addresses beside them.
func (a *answer) addTargets(owner string, targets []target) {
	known := make(map[netip.Addr]bool)
	for _, t := range targets {
		host := dns.Fqdn(t.host)
		if t.host == "" {
			host = addrName(t.addr, a.dc) + a.origin.text
			if !known[t.addr] {
				known[t.addr] = true
				a.msg.Extra = append(a.msg.Extra, a.addrs(host, t.addr)...)
			}
		}
		a.msg.Answer = append(a.msg.Answer, &dns.SRV{
			Hdr: a.header(owner, dns.TypeSRV), Priority: 1, Weight: t.weight, Port: t.port, Target: host,
		})
	}
}

// atMost returns how many records are added, of a least size: as many as are wanted, or one more than can fit, so that
// it shows that there are more.
func (a *answer) atMost(size int) int {
	n := a.limit()/size + 1
	if most := a.config.MaxAnswers; most > 0 && most < n {
		return most
	}
	return n
}

// choose returns some of all in random order: clients take the first one.
func choose[T any](all []T, n int) []T {
	chosen := make([]T, len(all))
	copy(chosen, all)
	n = min(n, len(all))
	for i := range n {
		j := i + rand.IntN(len(all)-i)
		chosen[i], chosen[j] = chosen[j], chosen[i]
	}
	return chosen[:n]
}

// fit makes the answer small enough, and says so by UDP if that leaves out something that was asked for.
func (a *answer) fit() {
	options := a.options()
	a.msg.Compress = true
	a.msg.Extra = append(a.msg.Extra, options...)
	limit := a.limit()
	if a.msg.Len() > limit {
		a.msg.Extra = options // nobody asked for the others
	}
	a.msg.Truncate(limit)
	a.msg.Compress = true
	if a.TCP {
		a.msg.Truncated = false // there is no way to get more, and resolvers take it for a failure
	}
}

// options answers EDNS, if that is spoken.
func (a *answer) options() []dns.RR {
	asked := a.Msg.IsEdns0()
	if asked == nil {
		return nil
	}
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetUDPSize(maxUDP)
	opt.SetDo(asked.Do())
	if a.why != noError {
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: a.why})
	}
	return []dns.RR{opt}
}
