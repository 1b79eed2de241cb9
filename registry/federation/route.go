package federation

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/feed"
)

// route is one service: what each data center says of it, and who serves it. Its feed has the nodes of the one that
// does.
type route struct {
	*feed.Feed
	registry *Registry
	name     string
	ctx      context.Context // ends when it isn't followed any more
	end      context.CancelFunc
	used     atomic.Bool // since sweep looked last

	// Under Registry.mu.
	idleFrom time.Time
	watching int // watchers

	begun atomic.Int64 // readings

	mu      sync.Mutex
	answers []answer // by data center, in the order of preference
	taken   []int64  // the readings that the answers are from
	serving int
	since   time.Time // of serving
	open    bool      // as in choice
	back    time.Time // when it may go back to a data center that is preferred; zero for never
	again   *time.Timer
	decided chan struct{} // closed and renewed by each decision
}

func newRoute(r *Registry, name string) *route {
	rt := &route{
		Feed: feed.New(r.shown, dirOf, dirOf(name)), registry: r, name: name, idleFrom: time.Now(),
		answers: make([]answer, len(r.datacenters)), taken: make([]int64, len(r.datacenters)),
		serving: nobody, since: time.Now(), decided: make(chan struct{}),
	}
	rt.ctx, rt.end = context.WithCancel(r.ctx)
	rt.again = time.AfterFunc(time.Hour, rt.decide)
	rt.again.Stop()
	return rt
}

// dirOf makes no service's name the beginning of another's.
func dirOf(service string) string { return service + "\x00" }

// Snapshot returns what is served, or nil.
func (rt *route) Snapshot(name string) *catalog.Snapshot {
	if !rt.used.Load() {
		rt.used.Store(true)
	}
	return rt.Feed.Snapshot(name)
}

// IsCached: what a registry has from a file is as good as what it said last.
func (rt *route) IsCached() bool { return false }

// Life ends when it is followed no longer.
func (rt *route) Life() context.Context { return rt.ctx }

// read asks a data center, and decides with the answer. If ctx ends before, that says nothing about the data center.
func (rt *route) read(ctx context.Context, dc int, opts ...registry.GetOption) error {
	n := rt.begun.Add(1)
	services, err := rt.registry.datacenters[dc].services(rt.name, append(slices.Clip(opts), registry.GetContext(ctx)))
	if err != nil && ctx.Err() != nil {
		return err
	}
	records := recordsOf(services)
	rt.decideWith(func() { rt.takeLocked(dc, n, records, err) })
	return err
}

// takeLocked takes in an answer, unless a later one is known.
func (rt *route) takeLocked(dc int, reading int64, records []*catalog.Record, err error) {
	a := &rt.answers[dc]
	if reading < rt.taken[dc] || a.asked.IsZero() || rt.ctx.Err() != nil {
		return
	}
	rt.taken[dc] = reading
	if err != nil {
		a.err = err
		return
	}
	shareProfiles(records, a.records)
	a.known, a.err, a.records = true, nil, records
	least := 1
	if dc == 0 {
		least = rt.registry.below
	}
	switch {
	case len(records) < least:
		a.enough = time.Time{}
	case a.enough.IsZero():
		a.enough = time.Now()
	}
}

// shareProfiles lets records share the profiles of those before: comparing them is quick then.
func shareProfiles(records, before []*catalog.Record) {
	known := make(map[string]*catalog.Profile)
	for _, r := range before {
		known[r.Version] = r.Profile
	}
	for _, r := range records {
		if p := known[r.Version]; p != nil && r.Profile.Equal(p) {
			r.Profile = p
		} else {
			known[r.Version] = r.Profile
		}
	}
}

// decide decides who serves.
func (rt *route) decide() { rt.decideWith(func() {}) }

func (rt *route) decideWith(change func()) {
	rt.mu.Lock()
	change()
	moved := rt.decideLocked(time.Now())
	rt.mu.Unlock()
	if moved != nil {
		rt.registry.moved(rt.name, moved)
	}
}

// move is that another data center serves a service from now on.
type move struct{ from, to int }

func (rt *route) decideLocked(now time.Time) *move {
	if rt.ctx.Err() != nil {
		return nil
	}
	c := choose(rt.answers, rt.serving, rt.registry.hold, now)
	if c.ask {
		for i := range rt.answers {
			rt.followLocked(i)
		}
		c = choose(rt.answers, rt.serving, rt.registry.hold, now)
	}
	rt.again.Stop()
	if !c.again.IsZero() {
		rt.again.Reset(max(0, c.again.Sub(now)))
	}
	rt.open, rt.back = c.open, time.Time{}
	close(rt.decided)
	rt.decided = make(chan struct{})
	if c.open {
		return nil
	}
	rt.back = c.again
	var moved *move
	if c.serving != rt.serving {
		moved = &move{rt.serving, c.serving}
		rt.moveLocked(c.serving, now)
	}
	rt.showLocked()
	return moved
}

// moveLocked notes who has lost the service.
func (rt *route) moveLocked(to int, now time.Time) {
	for i := range max(to, 0) {
		if a := &rt.answers[i]; a.known && a.lost == nil {
			a.lost = &loss{at: now, nodes: make(map[string]string)}
			if i == rt.serving {
				rt.noteNodesLocked(a.lost.nodes, a.records)
			}
		}
	}
	if to != nobody {
		rt.answers[to].lost = nil
	}
	rt.serving, rt.since = to, now
}

// noteNodesLocked notes which nodes are being served, but for those that are still there.
func (rt *route) noteNodesLocked(nodes map[string]string, there []*catalog.Record) {
	rt.Mu.Lock()
	for r := range rt.Catalog.Records {
		nodes[r.Node.Id] = r.Node.Address
	}
	rt.Mu.Unlock()
	for _, r := range there {
		delete(nodes, r.Node.Id)
	}
}

// showLocked makes the feed show what the data center has that serves: what is new before what is gone, so that nobody
// is left without nodes.
func (rt *route) showLocked() {
	var records []*catalog.Record
	if rt.serving != nobody {
		records = rt.answers[rt.serving].records
	}
	rt.Mu.Lock()
	defer rt.Mu.Unlock()
	var changes []catalog.Change
	there := make(map[string]bool, len(records))
	for _, r := range records {
		there[r.Key] = true
		changes = append(changes, rt.Catalog.Restate(r)...)
	}
	var gone []string
	for r := range rt.Catalog.Records {
		if !there[r.Key] {
			gone = append(gone, r.Key)
		}
	}
	slices.Sort(gone)
	for _, key := range gone {
		changes = append(changes, rt.Catalog.Delete(key)...)
	}
	if len(changes) > 0 || !rt.IsReady() {
		rt.PublishLocked(changes)
	}
}

// await waits until there is something to show, even if that is nothing.
func (rt *route) await(ctx context.Context) error {
	select {
	case <-rt.Ready:
		return nil
	case <-rt.ctx.Done():
		return rt.ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle waits while a decision is open.
func (rt *route) settle(ctx context.Context) {
	for {
		rt.mu.Lock()
		open, decided := rt.open, rt.decided
		rt.mu.Unlock()
		if !open {
			return
		}
		select {
		case <-decided:
		case <-rt.ctx.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// stop ends that it is followed.
func (rt *route) stop() {
	rt.end()
	rt.mu.Lock()
	rt.again.Stop()
	rt.mu.Unlock()
	rt.End()
}

// isEmpty reports whether no data center has a node, as far as is known.
func (rt *route) isEmpty() bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return !slices.ContainsFunc(rt.answers, func(a answer) bool { return len(a.records) > 0 })
}

// leaveRemotes ends that remote data centers are followed that haven't been needed for long.
func (rt *route) leaveRemotes(now time.Time) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.serving != 0 || rt.open || now.Sub(rt.since) < idleTime {
		return
	}
	for i := 1; i < len(rt.answers); i++ {
		if stop := rt.answers[i].stop; stop != nil {
			stop()
		}
		rt.answers[i] = answer{}
	}
}
