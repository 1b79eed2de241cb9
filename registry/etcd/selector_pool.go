package etcd

import (
	"context"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/feed"
	"github.com/micro-etcd/micro-etcd/internal/picker"
	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
)

// pool is what a selector knows of one service.
type pool struct {
	selector *selectorState
	service  string
	followed feed.Followed
	random   selector.Next // these two are made once, so that Select needn't make one
	inTurn   selector.Next
	ctx      context.Context // ends when the pool is dropped
	end      context.CancelFunc

	selected atomic.Bool // since expire looked last

	state atomic.Pointer[poolState]

	mu       sync.Mutex                 // for replacing state, and for what follows
	outliers map[string]*picker.Outlier // by node id
	removals removals                   // for a selector with Grace

	_    [64]byte // turn is written by everybody, state is read
	turn atomic.Uint64
}

func newPool(st *selectorState, followed feed.Followed, service string) *pool {
	p := &pool{
		selector: st, service: service, followed: followed,
		outliers: make(map[string]*picker.Outlier), removals: make(removals),
	}
	p.turn.Store(rand.Uint64())
	p.random = func() (*registry.Node, error) { return p.pick(p.state.Load().Picker, nil) }
	p.inTurn = func() (*registry.Node, error) { return p.pick(p.state.Load().Picker, &p.turn) }
	return p
}

func (p *pool) pick(from *picker.Picker[*registry.Node], turn *atomic.Uint64) (*registry.Node, error) {
	if n, ok := from.Pick(p.selector.clock, turn); ok {
		return n, nil
	}
	return nil, selector.ErrNoneAvailable
}

// known returns what is known of a service that is being selected, or nil.
func (st *selectorState) known(service string) *pool {
	known, ok := st.pools.Load(service)
	if !ok {
		return nil
	}
	p := known.(*pool)
	if !p.selected.Load() {
		p.selected.Store(true)
	}
	return p
}

func (st *selectorState) eachPool(yield func(*pool)) {
	st.pools.Range(func(_, p any) bool {
		yield(p.(*pool))
		return true
	})
}

// keep puts a pool where Select finds it, until its service isn't followed any more, and returns it, or the one that is
// there already.
func (st *selectorState) keep(p *pool) *pool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed.Load() {
		return p
	}
	p.ctx, p.end = context.WithCancel(p.followed.Life())
	if other, ok := st.pools.LoadOrStore(p.service, p); ok {
		p.end()
		return other.(*pool)
	}
	context.AfterFunc(p.ctx, func() { st.drop(p) })
	if st.grace > 0 {
		st.runLocked(p.watch)
		st.runLocked(p.expire)
	}
	return p
}

// drop forgets a pool.
func (st *selectorState) drop(p *pool) {
	if st.pools.CompareAndDelete(p.service, p) {
		p.end()
	}
}

func (p *pool) next(t policy) selector.Next {
	if t.rotates {
		return p.inTurn
	}
	return p.random
}

// present returns the state as it is now.
func (p *pool) present() *poolState {
	if ps := p.state.Load(); p.holds(ps) {
		return ps
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.presentLocked()
}

func (p *pool) presentLocked() *poolState {
	if ps := p.state.Load(); p.holds(ps) {
		return ps
	}
	return p.renewLocked()
}

func (p *pool) holds(ps *poolState) bool {
	return ps != nil && ps.cached == p.followed.IsCached() && ps.snapshot == p.followed.Snapshot(p.service) &&
		(ps.ends == 0 || p.selector.clock() < ps.ends)
}

// renewLocked makes a state of what etcd has, of the nodes that have grace, and of the outliers.
func (p *pool) renewLocked() *poolState {
	cached := p.followed.IsCached() // before the snapshot: what a view shows that isn't cached is etcd's
	now := p.followed.Snapshot(p.service)
	ps := &poolState{snapshot: now, shown: now, cached: cached}
	if p.selector.grace > 0 {
		p.addGraceLocked(ps)
	}
	ps.nodes = gomicro.ShareNodes(ps.shown.Nodes())
	var outliers map[string]*picker.Outlier
	if len(p.outliers) > 0 {
		p.forgetOutliers(ps.nodes)
		outliers = maps.Clone(p.outliers)
	}
	ps.Picker = pickFrom(p.selector.policy.Policy, ps.nodes, outliers)
	p.state.Store(ps)
	return ps
}

// forgetOutliers keeps the outliers that are among the nodes. One whose record has changed isn't: its node is another
// value, even if it says the same.
func (p *pool) forgetOutliers(nodes []*registry.Node) {
	kept := make(map[string]*picker.Outlier, len(p.outliers))
	for _, n := range nodes {
		if s := p.outliers[n.Id]; s != nil && s.Node == (*catalog.Node)(n) {
			kept[n.Id] = s
		}
	}
	p.outliers = kept
}

// nextOf returns a Next for the nodes that filters have left.
func (p *pool) nextOf(t policy, nodes []*registry.Node) selector.Next {
	var turn *atomic.Uint64
	if t.rotates {
		turn = &p.turn
	}
	type filtered struct {
		by *poolState
		*picker.Picker[*registry.Node]
	}
	var last atomic.Pointer[filtered]
	return func() (*registry.Node, error) {
		f, now := last.Load(), p.state.Load()
		if f == nil || f.by != now {
			f = &filtered{now, pickFrom(t.Policy, nodes, now.Outliers)}
			last.Store(f)
		}
		return p.pick(f.Picker, turn)
	}
}

// maxAsks is how often a user's strategy is asked for another node than one that is ejected.
const maxAsks = 16

// wrapStrategy returns the Next of a user's strategy, which isn't shown the nodes that are ejected, unless that would
// leave too few.
func (p *pool) wrapStrategy(strategy selector.Strategy, services []*registry.Service) selector.Next {
	next := strategy(p.withoutEjected(services))
	return func() (*registry.Node, error) {
		for range maxAsks - 1 {
			node, err := next()
			if err != nil || node == nil || p.admits((*catalog.Node)(node)) {
				return node, err
			}
		}
		return next()
	}
}

// withoutEjected leaves those whose ejection is over, to be probed.
func (p *pool) withoutEjected(services []*registry.Service) []*registry.Service {
	outliers := p.state.Load().Outliers
	if len(outliers) == 0 {
		return services
	}
	over := pickFrom(picker.Policy{}, nodesOf(services), outliers).EjectedAt(p.selector.clock())
	left := make([]*registry.Service, len(services))
	for i, service := range services {
		s := *service
		s.Nodes = slices.DeleteFunc(slices.Clone(s.Nodes), func(n *registry.Node) bool {
			o := outliers[n.Id]
			isOver, isEjected := over[o]
			return isEjected && !isOver && o.Is((*catalog.Node)(n))
		})
		left[i] = &s
	}
	return left
}

// admits reports whether a node isn't ejected, or may be probed.
func (p *pool) admits(n *catalog.Node) bool {
	ps := p.state.Load()
	o := ps.Outliers[n.Id]
	return ps.Panics || !o.IsEjected() || !o.Is(n) || o.Probe(p.selector.clock())
}

// mark notes how a call of a node went.
func (p *pool) mark(node *catalog.Node, err error) {
	switch v := classifyOutcome(node, err); v {
	case responded:
		if p.state.Load().Outliers[node.Id].Is(node) {
			p.uneject(node)
		}
	case unanswered, unreachable:
		if p.recordFailure(node, v) {
			keys := p.selector.registry.components.Load().config.keys
			p.selector.registry.graceSelectors.endGrace(keys, keys.Node(p.service, node.Id))
		}
	}
}

func (p *pool) uneject(node *catalog.Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outliers[node.Id].Is(node) {
		delete(p.outliers, node.Id)
		p.renewLocked()
	}
}

// recordFailure reports whether the node is ejected, now or since before it was lost, and only there by grace.
func (p *pool) recordFailure(node *catalog.Node, v outcome) (gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ps := p.presentLocked()
	o := p.outliers[node.Id]
	isNew := !o.Is(node)
	if isNew {
		i := slices.IndexFunc(ps.nodes, func(n *registry.Node) bool { return n.Id == node.Id && n.Address == node.Address })
		if i < 0 {
			return false
		}
		o = &picker.Outlier{Node: (*catalog.Node)(ps.nodes[i])}
		p.outliers[node.Id] = o
	}
	isEjected := o.Fail(v == unreachable, p.selector.clock())
	if isNew || isEjected {
		p.renewLocked()
	}
	return o.IsEjected() && p.removals[node.Id] != nil
}

// policy is how to pick among nodes that are all right.
type policy struct {
	picker.Policy
	strategy selector.Strategy // the user's own; nil for go-micro's two, which are built in
	rotates  bool
}

func newPolicy(o selector.Options) policy {
	var t policy
	t.Weighted, _ = gomicro.Kept[bool](o.Context, weightedOption{})
	t.Zone, _ = gomicro.Kept[string](o.Context, zoneOption{})
	return t.with(o.Strategy)
}

var (
	codeOfRandom     = codeOf(selector.Random)
	codeOfRoundRobin = codeOf(selector.RoundRobin)
)

// codeOf tells functions apart, which Go can't compare.
func codeOf(s selector.Strategy) uintptr { return reflect.ValueOf(s).Pointer() }

func (t policy) with(s selector.Strategy) policy {
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

// poolState is what there is of a service at one moment, and what may be picked of that. It doesn't change, but for due
// and the times of its outliers.
type poolState struct {
	*picker.Picker[*registry.Node]

	snapshot *catalog.Snapshot // what etcd has
	cached   bool              // or a cache file
	shown    *catalog.Snapshot // the same, and the nodes that have grace
	nodes    []*registry.Node  // of shown
	ends     int64             // when it is over for one of them, on the selector's clock; 0 for never

	convert  sync.Once // for the first one who filters
	services []registry.Service
}

func (ps *poolState) empty() bool { return ps.shown == nil }

// copied returns the services for filters and strategies, which may change them and their slices of nodes.
func (ps *poolState) copied() []*registry.Service {
	ps.convert.Do(func() {
		for _, v := range ps.shown.Versions {
			ps.services = append(ps.services, registry.Service{
				Name: ps.shown.Name, Version: v.Version,
				Metadata: v.Profile.Metadata, Endpoints: gomicro.Endpoints(v.Profile.Endpoints), Nodes: gomicro.ShareNodes(v.Nodes),
			})
		}
	})
	services := make([]*registry.Service, len(ps.services))
	for i, s := range ps.services {
		s.Nodes = slices.Clone(s.Nodes)
		services[i] = &s
	}
	return services
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

// pickFrom returns a picker of go-micro's nodes.
func pickFrom(
	t picker.Policy, nodes []*registry.Node, outliers map[string]*picker.Outlier,
) *picker.Picker[*registry.Node] {
	return picker.New(t, nodes, outliers, func(n *registry.Node) *catalog.Node { return (*catalog.Node)(n) })
}
