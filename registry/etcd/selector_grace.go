package etcd

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/retry"
	"github.com/micro-etcd/micro-etcd/internal/view"
)

// This file is the self-preservation of selectors with [Grace]: after a mass removal, of more than half of a service's
// nodes in a short time, they go on choosing among those too. Nobody else does: lookups and watchers tell what is in
// etcd.

const (
	// massTime is how close to each other the nodes of a mass removal go.
	massTime = 10 * time.Second
	// minMass is how many nodes a service must have had.
	minMass = 4
	// maxRemovals bounds how many nodes of a service are remembered.
	maxRemovals = 4096
	// maxUnselected is how long a service is watched that nobody selects. A watched view never goes.
	maxUnselected = 10 * time.Minute
)

// removal is a node that a service no longer has.
type removal struct {
	record *catalog.Record
	at     int64 // on the selector's clock
	left   int   // how many nodes the service had then
	mass   bool  // it was part of a mass removal
}

// removals are those of one service, by node id.
type removals map[string]*removal

// note takes in how a service has changed. A node that is out of service isn't lost.
func (rs removals) note(before, after *catalog.Snapshot, now int64, isOut func(id string) bool) {
	there := make(map[string]bool)
	for _, n := range after.Nodes() {
		there[n.Id] = true
		delete(rs, n.Id)
	}
	if before == nil {
		return
	}
	for _, v := range before.Versions {
		for _, n := range v.Nodes {
			if !there[n.Id] && len(rs) < maxRemovals && !isOut(n.Id) {
				record := &catalog.Record{Name: before.Name, Version: v.Version, Profile: v.Profile, Node: n}
				rs[n.Id] = &removal{record: record, at: now, left: len(there)}
			}
		}
	}
}

// withGrace returns the removals that have grace, the oldest first: none if they are no more than the nodes that are
// left, and then it is over for them. It forgets those that can't have grace anymore.
func (rs removals) withGrace(left int, now int64, grace time.Duration) []*removal {
	all := slices.SortedFunc(maps.Values(rs), func(a, b *removal) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.left, a.left))
	})
	findMass(all)
	all = slices.DeleteFunc(all, func(r *removal) bool {
		age := time.Duration(now - r.at)
		over := !r.mass || age >= grace
		if over && age > massTime {
			delete(rs, r.record.Node.Id)
		}
		return over
	})
	if len(all) <= left {
		for _, r := range all {
			delete(rs, r.record.Node.Id)
		}
		return nil
	}
	return all
}

// findMass marks mass removals. The removals are sorted by time.
func findMass(all []*removal) {
	first, unmarked := 0, 0
	for i, r := range all {
		for r.at-all[first].at > int64(massTime) {
			first++
		}
		n := i + 1 - first
		if n <= r.left || n+r.left < minMass {
			continue
		}
		for unmarked = max(unmarked, first); unmarked <= i; unmarked++ {
			all[unmarked].mass = true
		}
	}
}

// addGraceLocked adds the nodes that have grace to those of a new state. What only a cache file had may be long gone.
func (p *pool) addGraceLocked(ps *poolState) {
	now, grace := p.selector.clock(), p.selector.grace
	if last := p.state.Load(); last != nil && last.snapshot != ps.snapshot && !last.cached {
		views := p.selector.registry.components.Load().views
		isOut := func(id string) bool { return views.IsOutOfService(p.service, id) }
		p.removals.note(last.snapshot, ps.snapshot, now, isOut)
	}
	kept := p.removals.withGrace(len(ps.snapshot.Nodes()), now, grace)
	if len(kept) == 0 {
		return
	}
	records := make([]*catalog.Record, len(kept))
	for i, r := range kept {
		records[i] = r.record
	}
	ps.shown, ps.ends = ps.snapshot.With(records), kept[0].at+int64(grace)
}

// runLocked starts a goroutine that Close waits for, the selector's and the registry's.
func (st *selectorState) runLocked(f func()) {
	st.running.Add(1)
	if !st.registry.group.Run(func() { defer st.running.Done(); f() }) {
		st.running.Done()
	}
}

// watch sees to it that each removal is noted when it happens, and not only at the next Select.
func (p *pool) watch() {
	p.followed.(*view.View).AwaitList(p.ctx) // what a cache file has can't be lost
	w, err := p.selector.registry.Watch(registry.WatchService(p.service), registry.WatchContext(p.ctx))
	for err == nil {
		p.present()
		_, err = w.Next()
	}
	p.selector.drop(p) // it is being dropped, or etcd refuses the watch: the next Select begins anew
}

// expire ends the watch when nobody selects the service.
func (p *pool) expire() {
	for unselected := time.Duration(0); unselected < maxUnselected && p.ctx.Err() == nil; {
		retry.Sleep(p.ctx, time.Minute)
		unselected += time.Minute
		if p.selected.Swap(false) {
			unselected = 0
		}
	}
	p.selector.drop(p)
}

// endGrace ends the grace of a node.
func (p *pool) endGrace(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.presentLocked() // so that its removal has been noted
	if p.removals[id] != nil {
		delete(p.removals, id)
		p.renewLocked()
	}
}

// endGrace implements graceSelector.
func (st *selectorState) endGrace(keys catalog.Keyspace, key string) {
	st.eachPool(func(p *pool) {
		if id, ok := strings.CutPrefix(key, keys.Dir(p.service)); ok {
			p.endGrace(id)
		}
	})
}

// countGrace implements graceSelector.
func (st *selectorState) countGrace(keys catalog.Keyspace, count func(dir string, nodes int)) {
	st.eachPool(func(p *pool) {
		ps := p.present()
		count(keys.Dir(p.service), len(ps.nodes)-len(ps.snapshot.Nodes()))
	})
}
