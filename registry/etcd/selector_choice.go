package etcd

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"reflect"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// taste is how to pick among nodes that are all right.
type taste struct {
	strategy selector.Strategy // the user's own; nil for go-micro's two, which are built in
	rotates  bool
	weighted bool
	zone     string
}

func newTaste(o selector.Options) taste {
	var t taste
	t.weighted, _ = value[bool](o.Context, weightedKey{})
	t.zone, _ = value[string](o.Context, zoneKey{})
	return t.with(o.Strategy)
}

var (
	codeOfRandom     = codeOf(selector.Random)
	codeOfRoundRobin = codeOf(selector.RoundRobin)
)

// codeOf tells functions apart, which Go can't compare.
func codeOf(s selector.Strategy) uintptr { return reflect.ValueOf(s).Pointer() }

func (t taste) with(s selector.Strategy) taste {
	t.strategy, t.rotates = nil, false
	switch codeOf(s) {
	case codeOfRandom:
	case codeOfRoundRobin:
		t.rotates = true
	default:
		t.strategy = s
	}
	return t
}

// choice is what may be picked at one moment. It doesn't change, but for due and the times of its
// suspects.
type choice struct {
	view     *catalogue.Snapshot // what etcd has
	shown    *catalogue.Snapshot // the same, and those lost that have grace
	nodes    []*registry.Node    // of shown
	lost     []*catalogue.Record // those that have grace
	ends     int64               // when it is over for one of them, on the setup's clock; 0 for never
	ended    int64               // how often grace had been ended before its time
	suspects map[string]*suspect // by node id

	usable []*registry.Node
	sparse bool         // too many are aside, so all are usable
	aside  []*suspect   // not usable, but each of them once when its time is over
	due    atomic.Int64 // no time in aside is over before this
	scale  []uint64     // sums of the usable nodes' weights; nil if all are alike

	loans sync.Pool
}

func (c *choice) empty() bool { return c.shown == nil }

// weigh sorts out which of the nodes are usable.
func (c *choice) weigh(t taste, nodes []*registry.Node) {
	c.usable = nodes
	if t.zone == "" || !c.sift(inZone(nodes, t.zone)) {
		c.sparse = !c.sift(nodes)
	}
	if t.weighted {
		c.scale = scale(c.usable)
	}
}

// sift sets aside the suspects among the nodes. It reports false and sets nobody aside if that would leave less than
// a quarter.
func (c *choice) sift(nodes []*registry.Node) bool {
	usable, aside := nodes, []*suspect(nil)
	if len(c.suspects) > 0 {
		usable = make([]*registry.Node, 0, len(nodes))
		for _, n := range nodes {
			if s := c.suspects[n.Id]; s.isAside() && s.is(n) {
				aside = append(aside, s)
			} else {
				usable = append(usable, n)
			}
		}
	}
	if 4*len(usable) < len(nodes) || len(usable) == 0 {
		return false
	}
	c.usable, c.aside = usable, aside
	return true
}

func inZone(nodes []*registry.Node, zone string) []*registry.Node {
	var local []*registry.Node
	for _, n := range nodes {
		if n.Metadata[ZoneKey] == zone {
			local = append(local, n)
		}
	}
	return local
}

// pick returns a node. turn counts up from pick to pick; nil means at random.
func (c *choice) pick(now func() int64, turn *atomic.Uint64) (*registry.Node, error) {
	if len(c.aside) > 0 {
		if node := c.trial(now()); node != nil {
			return node, nil
		}
	}
	n := len(c.usable)
	switch {
	case n == 0:
		return nil, selector.ErrNoneAvailable
	case c.scale != nil && turn == nil:
		return c.at(rand.Uint64N(c.scale[n-1])), nil
	case c.scale != nil:
		return c.at(scatter(turn.Add(1), c.scale[n-1])), nil
	case turn == nil:
		return c.usable[rand.IntN(n)], nil
	}
	return c.usable[turn.Add(1)%uint64(n)], nil
}

// trial returns a node whose time aside is over, to one caller only.
func (c *choice) trial(now int64) *registry.Node {
	if now < c.due.Load() {
		return nil
	}
	var node *registry.Node
	due := int64(math.MaxInt64)
	for _, s := range c.aside {
		if node == nil && s.try(now) {
			node = s.node
		}
		due = min(due, s.until.Load())
	}
	c.due.Store(due) // times only rise, so this is never too late
	return node
}

// at returns the node at x on the scale of weights.
func (c *choice) at(x uint64) *registry.Node {
	return c.usable[sort.Search(len(c.scale), func(i int) bool { return c.scale[i] > x })]
}

// scatter maps a counter to numbers below limit so that any part of the counting hits each part of
// the numbers in proportion to its size: multiples of the golden ratio, modulo one.
func scatter(turn, limit uint64) uint64 {
	x, _ := bits.Mul64(turn*0x9E3779B97F4A7C15, limit)
	return x
}

const maxWeight = 1_000_000

// scale returns the sums of the nodes' weights, in thousandths. It is nil if all weigh nothing.
func scale(nodes []*registry.Node) []uint64 {
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

func nodesOf(services []*registry.Service) []*registry.Node {
	if len(services) == 1 {
		return services[0].Nodes
	}
	var nodes []*registry.Node
	for _, s := range services {
		nodes = append(nodes, s.Nodes...)
	}
	return nodes
}
