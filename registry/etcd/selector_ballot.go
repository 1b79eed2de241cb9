package etcd

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"sort"
	"strconv"
	"sync/atomic"

	"go-micro.dev/v4/selector"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// ballot is what may be picked of some nodes, as far as it is known which of them are suspects.
type ballot struct {
	suspects map[string]*suspect // by node id

	usable []*catalog.Node
	sparse bool         // too many are aside, so all are usable
	aside  []*suspect   // not usable, but each of them once when its time is over
	due    atomic.Int64 // no time in aside is over before this
	scale  []uint64     // sums of the usable nodes' weights; nil if all are alike
}

// weigh sorts out which of the nodes are usable.
func (b *ballot) weigh(t policy, nodes []*catalog.Node) {
	b.usable = nodes
	if t.zone == "" || !b.sift(inZone(nodes, t.zone)) {
		b.sparse = !b.sift(nodes)
	}
	if t.weighted {
		b.scale = scale(b.usable)
	}
}

// sift sets aside the suspects among the nodes. It reports false and sets nobody aside if that would leave less than
// a quarter.
func (b *ballot) sift(nodes []*catalog.Node) bool {
	usable, aside := nodes, []*suspect(nil)
	if len(b.suspects) > 0 {
		usable = make([]*catalog.Node, 0, len(nodes))
		for _, n := range nodes {
			if s := b.suspects[n.Id]; s.isAside() && s.is(n) {
				aside = append(aside, s)
			} else {
				usable = append(usable, n)
			}
		}
	}
	if 4*len(usable) < len(nodes) || len(usable) == 0 {
		return false
	}
	b.usable, b.aside = usable, aside
	return true
}

func inZone(nodes []*catalog.Node, zone string) []*catalog.Node {
	var local []*catalog.Node
	for _, n := range nodes {
		if n.Metadata[ZoneKey] == zone {
			local = append(local, n)
		}
	}
	return local
}

// pick returns a node. turn counts up from pick to pick; nil means at random.
func (b *ballot) pick(now func() int64, turn *atomic.Uint64) (*catalog.Node, error) {
	if len(b.aside) > 0 {
		if node := b.trial(now()); node != nil {
			return node, nil
		}
	}
	n := len(b.usable)
	switch {
	case n == 0:
		return nil, selector.ErrNoneAvailable
	case b.scale != nil && turn == nil:
		return b.at(rand.Uint64N(b.scale[n-1])), nil
	case b.scale != nil:
		return b.at(scatter(turn.Add(1), b.scale[n-1])), nil
	case turn == nil:
		return b.usable[rand.IntN(n)], nil
	}
	return b.usable[turn.Add(1)%uint64(n)], nil
}

// trial returns a node whose time aside is over, to one caller only.
func (b *ballot) trial(now int64) *catalog.Node {
	if now < b.due.Load() {
		return nil
	}
	var node *catalog.Node
	due := int64(math.MaxInt64)
	for _, s := range b.aside {
		if node == nil && s.try(now) {
			node = s.node
		}
		due = min(due, s.until.Load())
	}
	b.due.Store(due) // times only rise, so this is never too late
	return node
}

// at returns the node at x on the scale of weights.
func (b *ballot) at(x uint64) *catalog.Node {
	return b.usable[sort.Search(len(b.scale), func(i int) bool { return b.scale[i] > x })]
}

// scatter maps a counter to numbers below limit so that any part of the counting hits each part of
// the numbers in proportion to its size: multiples of the golden ratio, modulo one.
func scatter(turn, limit uint64) uint64 {
	x, _ := bits.Mul64(turn*0x9E3779B97F4A7C15, limit)
	return x
}

const maxWeight = 1_000_000

// scale returns the sums of the nodes' weights, in thousandths. It is nil if all weigh nothing.
func scale(nodes []*catalog.Node) []uint64 {
	sums := make([]uint64, len(nodes))
	var sum uint64
	for i, n := range nodes {
		weight, err := strconv.ParseFloat(n.Metadata[WeightKey], 64)
		if err != nil || !(weight >= 0 && weight <= maxWeight) {
			weight = 1
		}
		sum += uint64(math.Ceil(1000 * weight))
		sums[i] = sum
	}
	if sum == 0 {
		return nil
	}
	return sums
}
