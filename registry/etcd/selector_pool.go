package etcd

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// pool is what a selector knows of one service.
type pool struct {
	setup   *setup
	service string
	mirror  *mirror
	random  selector.Next // these two are made once, so that Select needn't make one
	inTurn  selector.Next
	ctx     context.Context // ends when the pool is dropped
	end     context.CancelFunc

	selected atomic.Bool // since expire looked last

	choice atomic.Pointer[choice]

	mu       sync.Mutex          // for replacing choice, and for what follows
	suspects map[string]*suspect // by node id
	removals removals            // for a selector with Grace

	_    [64]byte // turn is written by everybody, choice is read
	turn atomic.Uint64
}

func newPool(u *setup, m *mirror, service string) *pool {
	p := &pool{setup: u, service: service, mirror: m, suspects: make(map[string]*suspect), removals: make(removals)}
	p.turn.Store(rand.Uint64())
	p.random = func() (*registry.Node, error) { return asPicked(p.choice.Load().pick(u.clock, nil)) }
	p.inTurn = func() (*registry.Node, error) { return asPicked(p.choice.Load().pick(u.clock, &p.turn)) }
	return p
}

func asPicked(n *catalog.Node, err error) (*registry.Node, error) { return (*registry.Node)(n), err }

// known returns what is known of a service that is being selected, or nil.
func (u *setup) known(service string) *pool {
	known, ok := u.pools.Load(service)
	if !ok {
		return nil
	}
	p := known.(*pool)
	if !p.selected.Load() {
		p.selected.Store(true)
	}
	return p
}

// keep puts a pool where Select finds it, until its mirror ends, and returns it, or the one that
// is there already.
func (u *setup) keep(p *pool) *pool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed.Load() {
		return p
	}
	p.ctx, p.end = context.WithCancel(p.mirror.ctx)
	if other, ok := u.pools.LoadOrStore(p.service, p); ok {
		p.end()
		return other.(*pool)
	}
	context.AfterFunc(p.ctx, func() { u.drop(p) })
	if u.grace > 0 {
		u.run(p.watch)
		u.run(p.expire)
	}
	return p
}

// drop forgets a pool.
func (u *setup) drop(p *pool) {
	if u.pools.CompareAndDelete(p.service, p) {
		p.end()
	}
}

func (p *pool) next(t policy) selector.Next {
	if t.rotates {
		return p.inTurn
	}
	return p.random
}

// present returns the choice as it is now.
func (p *pool) present() *choice {
	if c := p.choice.Load(); p.holds(c) {
		return c
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest()
}

// latest is present for who has mu.
func (p *pool) latest() *choice {
	if c := p.choice.Load(); p.holds(c) {
		return c
	}
	return p.renew()
}

func (p *pool) holds(c *choice) bool {
	return c != nil && c.view == p.mirror.view(p.service) && (c.ends == 0 || p.setup.clock() < c.ends)
}

// renew makes a choice of what etcd has, of the nodes that have grace, and of the suspects. It needs mu.
func (p *pool) renew() *choice {
	view := p.mirror.view(p.service)
	c := &choice{view: view, shown: view}
	if p.setup.grace > 0 {
		p.preserveLocked(c)
	}
	c.nodes = c.shown.Nodes()
	if len(p.suspects) > 0 {
		p.forgetSuspects(c.nodes)
		c.suspects = maps.Clone(p.suspects)
	}
	c.weigh(p.setup.policy, c.nodes)
	p.choice.Store(c)
	return c
}

// forgetSuspects keeps the suspects that are among the nodes. One whose record has changed isn't: its node is
// another value, even if it says the same.
func (p *pool) forgetSuspects(nodes []*catalog.Node) {
	kept := make(map[string]*suspect, len(p.suspects))
	for _, n := range nodes {
		if s := p.suspects[n.Id]; s != nil && s.node == n {
			kept[n.Id] = s
		}
	}
	p.suspects = kept
}

// among returns a Next for the nodes that filters have left.
func (p *pool) among(t policy, nodes []*catalog.Node) selector.Next {
	var turn *atomic.Uint64
	if t.rotates {
		turn = &p.turn
	}
	type sifted struct {
		by *choice
		ballot
	}
	var last atomic.Pointer[sifted]
	return func() (*registry.Node, error) {
		s, now := last.Load(), p.choice.Load()
		if s == nil || s.by != now {
			s = &sifted{by: now, ballot: ballot{suspects: now.suspects}}
			s.weigh(t, nodes)
			last.Store(s)
		}
		return asPicked(s.pick(p.setup.clock, turn))
	}
}

// maxAsks is how often a user's strategy is asked for another node than one that is aside.
const maxAsks = 16

// supervise returns the Next of a user's strategy, which isn't shown the nodes that are aside, unless
// that would leave too few.
func (p *pool) supervise(strategy selector.Strategy, services []*registry.Service) selector.Next {
	next := strategy(p.withoutAside(services))
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

// withoutAside leaves those whose time aside is over, to be tried.
func (p *pool) withoutAside(services []*registry.Service) []*registry.Service {
	b := &ballot{suspects: p.choice.Load().suspects}
	if len(b.suspects) == 0 || !b.sift(nodesOf(services)) {
		return services
	}
	now := p.setup.clock()
	aside := make(map[*suspect]bool, len(b.aside)) // asked once: more may be set aside at any moment
	for _, s := range b.aside {
		aside[s] = now < s.until.Load()
	}
	left := make([]*registry.Service, len(services))
	for i, service := range services {
		s := *service
		s.Nodes = slices.DeleteFunc(slices.Clone(s.Nodes), func(n *registry.Node) bool {
			s := b.suspects[n.Id]
			return aside[s] && s.is((*catalog.Node)(n))
		})
		left[i] = &s
	}
	return left
}

// admits reports whether a node isn't aside, or may be tried.
func (p *pool) admits(n *catalog.Node) bool {
	c := p.choice.Load()
	s := c.suspects[n.Id]
	return c.sparse || !s.isAside() || !s.is(n) || s.try(p.setup.clock())
}

// mark notes how a call of a node went.
func (p *pool) mark(node *catalog.Node, err error) {
	switch v := judge(node, err); v {
	case heard:
		if p.choice.Load().suspects[node.Id].is(node) {
			p.acquit(node)
		}
	case unanswered, unreachable:
		if p.blame(node, v) {
			keys := p.setup.registry.parts.Load().config.keys
			p.setup.registry.preserving.forget(keys, keys.Node(p.service, node.Id))
		}
	}
}

func (p *pool) acquit(node *catalog.Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.suspects[node.Id].is(node) {
		delete(p.suspects, node.Id)
		p.renew()
	}
}

// blame reports whether it set aside a node that only grace had kept.
func (p *pool) blame(node *catalog.Node, v verdict) (gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.latest()
	s := p.suspects[node.Id]
	isNew := !s.is(node)
	if isNew {
		i := slices.IndexFunc(c.nodes, func(n *catalog.Node) bool { return n.Id == node.Id && n.Address == node.Address })
		if i < 0 {
			return false
		}
		s = &suspect{node: c.nodes[i]}
		p.suspects[node.Id] = s
	}
	isAside := s.fail(v, p.setup.clock())
	if isNew || isAside {
		p.renew()
	}
	return isAside && p.removals[node.Id] != nil
}
