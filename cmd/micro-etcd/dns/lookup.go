package dns

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"time"
)

// Labels that stand for something.
const (
	serviceLabel = "service"  // <service>.service.<domain>
	versionLabel = "_version" // <version>._version.<service>.service.<domain>
	tcpLabel     = "_tcp"     // _<service>._tcp.service.<domain>, also without "service"
	udpLabel     = "_udp"
	addrLabel    = "addr" // <hex>.addr.<domain>
	dcLabel      = "dc"   // <service>.service.<dc>.dc.<domain>
	nsLabel      = "ns"   // ns.<domain>
)

// lookup returns what there is at a name below a domain, nil for a name that doesn't exist, and how current that is.
func (z *Zone) lookup(n name, now time.Time) (*records, state) {
	z.settle(now)
	z.mu.RLock()
	defer z.mu.RUnlock()
	return z.lookupLocked(n), z.state
}

// in returns the zone of the data center that a name is in, the rest of the name, and the data center; "" for none.
func (z *Zone) in(n name) (*Zone, name, string) {
	below, label := n.last()
	if label == dcLabel {
		rest, dc := below.last()
		if of := z.datacenters[dc]; of != nil {
			return of, rest, dc
		}
	}
	return z, n, ""
}

// lookupLocked knows that a name exists if there is one below it (RFC 8020): resolvers that ask label by label (RFC
// 9156) go no further below one that doesn't.
func (z *Zone) lookupLocked(n name) *records {
	switch rest, label := n.last(); label {
	case serviceLabel:
		return z.serviceLocked(rest)
	case tcpLabel, udpLabel:
		return z.srvLocked(rest)
	case addrLabel:
		return z.addrLocked(rest)
	case dcLabel:
		if rest == "" {
			return none
		}
	}
	return nil
}

// serviceLocked is for what is below "service".
func (z *Zone) serviceLocked(n name) *records {
	if n == "" {
		return none
	}
	if rest, label := n.last(); label == tcpLabel || label == udpLabel {
		return z.srvLocked(rest)
	}
	if version, of := n.cutVersion(); of != "" {
		return z.versionLocked(version, of)
	}
	p := z.names[n]
	switch s := p.service(); {
	case p == nil:
		return nil
	case s == nil:
		return none
	default:
		return s.nodes
	}
}

// service returns the only service with a name. Where several have it there is none: the nodes of one must not pass for
// those of another, and which one is meant must not depend on the letters' case, which resolvers change.
func (p *place) service() *service {
	switch {
	case p == nil:
	case len(p.services) == 1:
		return p.services[0]
	case len(p.services) == 0 && len(p.dashed) == 1:
		return p.dashed[0]
	}
	return nil
}

// cutVersion parts a version from its service at the last label for it. Without one, of is "".
func (n name) cutVersion() (version, of name) {
	for at := 0; at < len(n); at += 1 + int(n[at]) {
		if label, rest := n[at:].first(); label == versionLabel {
			version, of = n[:at], rest
		}
	}
	return version, of
}

func (z *Zone) versionLocked(version, of name) *records {
	s := z.names[of].service()
	switch {
	case s == nil:
		return nil
	case version == "":
		return none
	}
	return s.versions[version]
}

// srvLocked is for what is below "_tcp" and "_udp".
func (z *Zone) srvLocked(n name) *records {
	if n == "" {
		return none
	}
	label, rest := n.first()
	if text, ok := strings.CutPrefix(label, "_"); ok && text != "" {
		p := z.names[name([]byte{byte(len(text))})+name(text)+rest]
		switch s := p.service(); {
		case s != nil:
			return &records{targets: s.nodes.targets}
		case p != nil && len(p.services)+len(p.dashed) > 0:
			return none
		}
	}
	if p := z.names[n]; p != nil && p.below > 0 {
		return none
	}
	return nil
}

// addrLocked is for what is below "addr". Only what nodes have is told: else names could be made up for any address
// (DNS rebinding).
func (z *Zone) addrLocked(n name) *records {
	if n == "" {
		return none
	}
	label, rest := n.first()
	bytes, err := hex.DecodeString(label)
	addr, ok := netip.AddrFromSlice(bytes)
	if err != nil || !ok || rest != "" || z.addrs[addr] == 0 {
		return nil
	}
	return recordsOf(addr)
}

// addrName is the name below the domain that an address has in a data center, or in none for "".
func addrName(addr netip.Addr, dc string) string {
	n := hex.EncodeToString(addr.AsSlice()) + "." + addrLabel + "."
	if dc != "" {
		n += dc + "." + dcLabel + "."
	}
	return n
}
