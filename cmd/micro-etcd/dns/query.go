package dns

import (
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// Query is a message with what isn't in it.
type Query struct {
	Msg  *dns.Msg
	From netip.AddrPort
	At   time.Time
	TCP  bool
	// To returns the server's address that it came to.
	To func() netip.Addr
}

// maxUDP is the size of an answer that passes everywhere without being fragmented, as was agreed on DNS flag day 2020.
const maxUDP = 1232

// limit is how large the answer may be.
func (q *Query) limit() int {
	opt := q.Msg.IsEdns0()
	switch {
	case q.TCP:
		return dns.MaxMsgSize
	case opt == nil:
		return dns.MinMsgSize
	}
	return min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDP)
}

// refusal says why a message isn't answered from the zone, if it isn't.
func (q *Query) refusal() (rcode int, why uint16) {
	options := 0
	for _, rr := range q.Msg.Extra {
		if rr.Header().Rrtype == dns.TypeOPT {
			options++
		}
	}
	switch {
	case q.Msg.Opcode != dns.OpcodeQuery:
		return dns.RcodeNotImplemented, noError
	case len(q.Msg.Question) != 1 || options > 1:
		return dns.RcodeFormatError, noError
	}
	if opt := q.Msg.IsEdns0(); opt != nil && opt.Version() > 0 {
		return dns.RcodeBadVers, noError
	}
	switch question := q.Msg.Question[0]; {
	case question.Qclass != dns.ClassINET:
		return dns.RcodeRefused, dns.ExtendedErrorCodeNotAuthoritative
	case question.Qtype == dns.TypeAXFR || question.Qtype == dns.TypeIXFR:
		return dns.RcodeRefused, dns.ExtendedErrorCodeNotSupported
	}
	return dns.RcodeSuccess, noError
}

// accept ignores what is no query, and would go back and forth. All else is decided by who answers.
func accept(h dns.Header) dns.MsgAcceptAction {
	const response = 1 << 15
	if h.Bits&response != 0 {
		return dns.MsgIgnore
	}
	return dns.MsgAccept
}
