// Package picker picks one of several nodes: by weight and zone, and around outliers, which it ejects for a while. It
// does no I/O and has no clock.
package picker

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"sort"
	"strconv"
	"sync/atomic"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// The keys in a node's metadata that a [Policy] reads.
const (
	WeightKey = "weight"
	ZoneKey   = "zone"
)

// Policy is how to pick.
type Policy struct {
	Weighted bool   // in proportion to the nodes' weights
	Zone     string // that is preferred; "" for none
}

// Picker picks among some nodes. Those that are ejected aren't picked, unless they are more than three quarters: then
// it is better to try all of them (Envoy calls that a panic).
type Picker[N any] struct {
	node     func(N) *catalog.Node
	Outliers map[string]*Outlier // by node id

	usable  []N
	Panics  bool         // too many are ejected, so all are usable
	ejected []ejected[N] // not usable, but each of them once when its ejection is over
	due     atomic.Int64 // no ejection is over before this
	scale   []uint64     // sums of the usable nodes' weights; nil if all are alike
}

type ejected[N any] struct {
	*Outlier
	node N
}

// New returns a picker of nodes, some of which may be outliers. node says what the caller's type of them stands for.
func New[N any](t Policy, nodes []N, outliers map[string]*Outlier, node func(N) *catalog.Node) *Picker[N] {
	p := &Picker[N]{node: node, Outliers: outliers}
	if t.Weighted {
		nodes = p.undrained(nodes)
	}
	p.usable = nodes
	if t.Zone == "" || !p.exclude(p.inZone(nodes, t.Zone)) {
		p.Panics = !p.exclude(nodes)
	}
	if t.Weighted {
		p.weigh()
	}
	return p
}

// exclude makes those of the nodes usable that aren't ejected. It reports false and changes nothing if they are less
// than a quarter.
func (p *Picker[N]) exclude(nodes []N) bool {
	usable, out := nodes, []ejected[N](nil)
	if len(p.Outliers) > 0 {
		usable = make([]N, 0, len(nodes))
		for _, n := range nodes {
			own := p.node(n)
			if o := p.Outliers[own.Id]; o.IsEjected() && o.Is(own) {
				out = append(out, ejected[N]{o, n})
			} else {
				usable = append(usable, n)
			}
		}
	}
	if 4*len(usable) < len(nodes) || len(usable) == 0 {
		return false
	}
	p.usable, p.ejected = usable, out
	return true
}

// undrained returns the nodes that weigh something, or all if none does. The others get nothing even if these are
// ejected or far away: that is what a weight of 0 is for.
func (p *Picker[N]) undrained(nodes []N) []N {
	var some []N
	for _, n := range nodes {
		if Weight(p.node(n)) > 0 {
			some = append(some, n)
		}
	}
	if len(some) == 0 {
		return nodes
	}
	return some
}

func (p *Picker[N]) inZone(nodes []N, zone string) []N {
	var local []N
	for _, n := range nodes {
		if p.node(n).Metadata[ZoneKey] == zone {
			local = append(local, n)
		}
	}
	return local
}

// Pick returns a node, or false if there is none. turn counts up from pick to pick; nil means at random.
func (p *Picker[N]) Pick(now func() int64, turn *atomic.Uint64) (picked N, ok bool) {
	if len(p.ejected) > 0 {
		if node, ok := p.probe(now()); ok {
			return node, true
		}
	}
	n := len(p.usable)
	switch {
	case n == 0:
		return picked, false
	case p.scale != nil && turn == nil:
		return p.at(rand.Uint64N(p.scale[n-1])), true
	case p.scale != nil:
		return p.at(scatter(turn.Add(1), p.scale[n-1])), true
	case turn == nil:
		return p.usable[rand.IntN(n)], true
	}
	return p.usable[turn.Add(1)%uint64(n)], true
}

// probe returns a node whose ejection is over, to one caller only.
func (p *Picker[N]) probe(now int64) (node N, ok bool) {
	if now < p.due.Load() {
		return node, false
	}
	due := int64(math.MaxInt64)
	for _, e := range p.ejected {
		if !ok && e.Probe(now) {
			node, ok = e.node, true
		}
		due = min(due, e.until.Load())
	}
	p.due.Store(due) // an ejection is never cut short, so this isn't too late
	return node, ok
}

// at returns the node at x on the scale of weights.
func (p *Picker[N]) at(x uint64) N {
	return p.usable[sort.Search(len(p.scale), func(i int) bool { return p.scale[i] > x })]
}

// scatter maps a counter to numbers below limit so that any part of the counting hits each part of the numbers in
// proportion to its size: multiples of the golden ratio, modulo one.
func scatter(turn, limit uint64) uint64 {
	x, _ := bits.Mul64(turn*0x9E3779B97F4A7C15, limit)
	return x
}

const maxWeight = 1_000_000

// Weight returns a node's weight in thousandths: 1000 without one, or with one that is no number from 0 to a million.
func Weight(n *catalog.Node) uint64 {
	weight, err := strconv.ParseFloat(n.Metadata[WeightKey], 64)
	if err != nil || !(weight >= 0 && weight <= maxWeight) {
		weight = 1
	}
	return uint64(math.Ceil(1000 * weight))
}

// weigh sums up the usable nodes' weights, unless all weigh nothing.
func (p *Picker[N]) weigh() {
	sums := make([]uint64, len(p.usable))
	var sum uint64
	for i, n := range p.usable {
		sum += Weight(p.node(n))
		sums[i] = sum
	}
	if sum > 0 {
		p.scale = sums
	}
}

// EjectedAt returns the outliers that are ejected, and whether their ejection is over.
func (p *Picker[N]) EjectedAt(now int64) (over map[*Outlier]bool) {
	over = make(map[*Outlier]bool, len(p.ejected))
	for _, e := range p.ejected {
		over[e.Outlier] = e.isOver(now)
	}
	return over
}
