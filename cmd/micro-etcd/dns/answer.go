package dns

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// Zones says for which domains is answered, and how.
type Zones struct {
	domains []domain
	// TTL is for how long others may keep what they are told, and NegativeTTL that there is nothing.
	TTL, NegativeTTL time.Duration
	// MaxStale is how long is answered while etcd can't be followed; 0 is for ever.
	MaxStale time.Duration
	// MaxAnswers is how many records an answer has; 0 is as many as fit.
	MaxAnswers int
}

type domain struct {
	name name
	text string // in the form of zone files, with the dot at its end
}

var errDomain = errors.New("it is no domain name")

// AddDomain adds a domain that is answered for.
func (c *Zones) AddDomain(text string) error {
	n, ok := parseName(dns.Fqdn(text))
	// The longest name that is made is of 32 digits and a few letters.
	if !ok || n == "" || len(n)+len("\x20\x04addr")+32 > maxName {
		return fmt.Errorf("domain %q: %w", text, errDomain)
	}
	c.domains = append(c.domains, domain{n, dns.CanonicalName(text)})
	return nil
}

// noError is no extended error (RFC 8914), whose codes begin at 0.
const noError = ^uint16(0)

// Answer returns the answer to a query. It never is nil, and never larger than the client and the transport can take.
func (c *Zones) Answer(z *Zone, q Query) *dns.Msg {
	z.settle(q.At)
	a := &answer{Query: q, config: c, msg: new(dns.Msg).SetReply(q.Msg), why: noError}
	a.msg.Compress = true
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
	config *Zones
	msg    *dns.Msg
	domain *domain
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
	z.mu.RLock()
	defer z.mu.RUnlock()
	a.serial = uint32(z.revision) //nolint:gosec // serial numbers wrap around (RFC 1982)
	isStale := !z.stale.IsZero()
	switch {
	case !z.listed && !z.loaded:
		a.fail(dns.RcodeServerFailure, dns.ExtendedErrorCodeNotReady) // not NXDOMAIN, which would be kept
		return
	case isStale && a.config.MaxStale > 0 && a.At.Sub(z.stale) > a.config.MaxStale:
		a.fail(dns.RcodeServerFailure, dns.ExtendedErrorCodeNetworkError)
		return
	case isStale:
		a.why = dns.ExtendedErrorCodeStaleAnswer
	}
	a.add(z, below)
	if a.msg.Rcode == dns.RcodeNameError && isStale {
		a.why = dns.ExtendedErrorCodeStaleNXDOMAINAnswer
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
	for i := range a.config.domains {
		d := &a.config.domains[i]
		if rest, ok := asked.below(d.name); ok && (a.domain == nil || len(d.name) > len(a.domain.name)) {
			a.domain, below = d, rest
		}
	}
	return below, a.domain != nil
}

// add adds what there is at a name below the domain.
func (a *answer) add(z *Zone, below name) {
	qtype := a.msg.Question[0].Qtype
	label, rest := "", name("")
	if below != "" {
		label, rest = below.first()
	}
	switch {
	case below == "":
		a.addApex(qtype)
	case label == nsLabel && rest == "":
		a.addAddrs(qtype, a.to())
	default:
		r := z.lookupLocked(below)
		if r == nil {
			a.msg.Rcode = dns.RcodeNameError
			return
		}
		a.addRecords(qtype, r)
	}
}

func (a *answer) addApex(qtype uint16) {
	switch qtype {
	case dns.TypeSOA, dns.TypeANY:
		a.msg.Answer = []dns.RR{a.soa()}
	case dns.TypeNS:
		ns := a.nameServer()
		a.msg.Answer = []dns.RR{&dns.NS{Hdr: a.header(a.msg.Question[0].Name, dns.TypeNS), Ns: ns}}
		a.msg.Extra = a.addrs(ns, a.to())
	}
}

// to is the server's address that the query came to, if it is known.
func (a *answer) to() []netip.Addr {
	if addr := a.To().Unmap(); addr.IsValid() {
		return []netip.Addr{addr}
	}
	return nil
}

func (a *answer) nameServer() string { return nsLabel + "." + a.domain.text }

func (a *answer) soa() dns.RR {
	seconds := seconds(a.config.NegativeTTL)
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: a.domain.text, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: seconds},
		Ns:  a.nameServer(), Mbox: "hostmaster." + a.domain.text, Serial: a.serial,
		Refresh: 3600, Retry: 600, Expire: 86400, // for secondaries, of which there are none
		Minttl: seconds,
	}
}

func (a *answer) header(owner string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: seconds(a.config.TTL)}
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }

// addRecords adds those of a type. For ANY it is one type (RFC 8482).
func (a *answer) addRecords(qtype uint16, r *records) {
	switch {
	case qtype != dns.TypeANY:
	case len(r.v4) > 0:
		qtype = dns.TypeA
	case len(r.v6) > 0:
		qtype = dns.TypeAAAA
	case len(r.targets) > 0:
		qtype = dns.TypeSRV
	case r != none:
		a.msg.Answer = []dns.RR{&dns.HINFO{Hdr: a.header(a.msg.Question[0].Name, dns.TypeHINFO), Cpu: "RFC8482"}}
	}
	switch qtype {
	case dns.TypeA:
		a.addAddrs(qtype, r.v4)
	case dns.TypeAAAA:
		a.addAddrs(qtype, r.v6)
	case dns.TypeSRV:
		a.addTargets(r.targets)
	}
}

// Least sizes of records, with names compressed as far as they may be.
const (
	sizeOfA   = 16
	sizeOfSRV = 19
)

// addAddrs adds those of a type.
func (a *answer) addAddrs(qtype uint16, addrs []netip.Addr) {
	chosen := choose(addrs, a.atMost(sizeOfA))
	for _, rr := range a.addrs(a.msg.Question[0].Name, chosen) {
		if rr.Header().Rrtype == qtype || qtype == dns.TypeANY {
			a.msg.Answer = append(a.msg.Answer, rr)
		}
	}
}

// addrs returns the records of addresses.
func (a *answer) addrs(owner string, addrs []netip.Addr) []dns.RR {
	rrs := make([]dns.RR, 0, len(addrs))
	for _, addr := range addrs {
		if addr.Is4() {
			rrs = append(rrs, &dns.A{Hdr: a.header(owner, dns.TypeA), A: net.IP(addr.AsSlice())})
		} else {
			rrs = append(rrs, &dns.AAAA{Hdr: a.header(owner, dns.TypeAAAA), AAAA: net.IP(addr.AsSlice())})
		}
	}
	return rrs
}

func (a *answer) addTargets(targets []target) {
	known := make(map[netip.Addr]bool)
	for _, t := range choose(targets, a.atMost(sizeOfSRV)) {
		host := dns.Fqdn(t.host)
		if t.host == "" {
			host = addrName(t.addr) + a.domain.text
			if !known[t.addr] {
				known[t.addr] = true
				a.msg.Extra = append(a.msg.Extra, a.addrs(host, []netip.Addr{t.addr})...)
			}
		}
		a.msg.Answer = append(a.msg.Answer, &dns.SRV{
			Hdr: a.header(a.msg.Question[0].Name, dns.TypeSRV), Priority: 1, Weight: t.weight, Port: t.port, Target: host,
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

// fit makes the answer small enough, and says so if that leaves out something that was asked for.
func (a *answer) fit() {
	if opt := a.Msg.IsEdns0(); opt != nil {
		a.addOptions(opt)
	}
	limit := a.limit()
	if a.msg.Len() > limit {
		a.msg.Extra = nil // nobody asked for these
		if opt := a.Msg.IsEdns0(); opt != nil {
			a.addOptions(opt)
		}
	}
	a.msg.Truncate(limit)
	a.msg.Compress = true
}

// addOptions answers EDNS.
func (a *answer) addOptions(asked *dns.OPT) {
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetUDPSize(maxUDP)
	opt.SetDo(asked.Do())
	if a.why != noError {
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: a.why})
	}
	a.msg.Extra = append(a.msg.Extra, opt)
}
