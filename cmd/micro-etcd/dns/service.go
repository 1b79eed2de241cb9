package dns

import (
	"cmp"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/picker"
)

// records are what DNS tells of some nodes. They don't change.
type records struct {
	v4, v6  []netip.Addr // each once, sorted
	targets []target
}

// target is a node with a port.
type target struct {
	addr   netip.Addr
	host   string // where the node's address is a host's name, not addr
	port   uint16
	weight uint16
}

// maxVersionLabels bounds what a version is made of, and so how many names are above it. No version of a kind that
// people use has more.
const maxVersionLabels = 10

// none are those of a name at which there is nothing, but below which there may be.
var none = &records{}

// recordsOf returns those of an address.
func recordsOf(addr netip.Addr) *records {
	switch {
	case addr.Is4():
		return &records{v4: []netip.Addr{addr}}
	case addr.Is6():
		return &records{v6: []netip.Addr{addr}}
	}
	return none
}

// service is one as DNS tells it. It doesn't change.
type service struct {
	own      name // "" for what can't be a name in DNS
	dashed   name // with "-" for "/", where there is one
	nodes    *records
	versions map[name]*records // by their names, and by those above: none
	told     int               // nodes
	skipped  int               // nodes of which there is nothing to tell
}

func newService(s *catalog.Snapshot) *service {
	made := &service{nodes: &records{}}
	made.own, _ = nameOf(s.Name)
	if strings.Contains(s.Name, "/") {
		made.dashed, _ = nameOf(strings.ReplaceAll(s.Name, "/", "-"))
	}
	versions := make(map[name]*records)
	for _, v := range s.Versions {
		of := &records{}
		for _, n := range v.Nodes {
			if of.add(n) {
				made.told++
			} else {
				made.skipped++
			}
		}
		of.compact()
		made.nodes.v4 = append(made.nodes.v4, of.v4...)
		made.nodes.v6 = append(made.nodes.v6, of.v6...)
		made.nodes.targets = append(made.nodes.targets, of.targets...)
		if n, ok := nameOf(v.Version); ok && strings.Count(v.Version, ".") < maxVersionLabels {
			if versions[n] != nil {
				of = none // several differ in case only
			}
			versions[n] = of
		}
	}
	made.nodes.compact()
	made.versions = maps.Clone(versions)
	for n := range versions {
		for parent := range n.parents {
			if versions[parent] == nil {
				made.versions[parent] = none
			}
		}
	}
	return made
}

// add adds what can be told of a node, and reports whether there is anything.
func (r *records) add(n *catalog.Node) bool {
	host, port := endpoint(n.Address)
	t := target{port: port, weight: weight(n)}
	addr, err := netip.ParseAddr(host)
	addr = addr.Unmap()
	switch {
	case err != nil && (port == 0 || !fleet.IsHost(host)), addr.IsUnspecified(), addr.Zone() != "":
		return false
	case err != nil:
		t.host = strings.ToLower(strings.TrimSuffix(host, "."))
	case addr.Is4():
		t.addr, r.v4 = addr, append(r.v4, addr)
	default:
		t.addr, r.v6 = addr, append(r.v6, addr)
	}
	if port != 0 {
		r.targets = append(r.targets, t)
	}
	return true
}

// compact leaves each address once, and each target: records of one name differ (RFC 2181, section 5). Of several nodes
// at one target the highest weight counts.
func (r *records) compact() {
	slices.SortFunc(r.targets, func(a, b target) int {
		return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.host, b.host), cmp.Compare(a.port, b.port),
			cmp.Compare(b.weight, a.weight))
	})
	r.targets = slices.CompactFunc(r.targets, func(a, b target) bool {
		return a.addr == b.addr && a.host == b.host && a.port == b.port
	})
	for _, addrs := range []*[]netip.Addr{&r.v4, &r.v6} {
		slices.SortFunc(*addrs, netip.Addr.Compare)
		*addrs = slices.Compact(*addrs)
	}
}

// has reports whether an address is among those of records that are compact.
func (r *records) has(addr netip.Addr) bool {
	all := r.v4
	if addr.Is6() {
		all = r.v6
	}
	_, found := slices.BinarySearchFunc(all, addr, netip.Addr.Compare)
	return found
}

// endpoint takes a node's address apart. The port is 0 for one without.
func endpoint(address string) (host string, port uint16) {
	host, text, ok := fleet.HostPort(address)
	if !ok {
		return address, 0
	}
	p, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return host, 0
	}
	return host, uint16(p)
}

// weight is that of RFC 2782: how large a part of the calls a node should get. It is what selectors go by, rounded up.
func weight(n *catalog.Node) uint16 {
	return uint16(min((picker.Weight(n)+999)/1000, math.MaxUint16)) //nolint:gosec // bounded
}
