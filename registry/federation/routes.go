package federation

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/feed"
)

// routes are the services that a federation follows.
type routes struct {
	*shared
	byName sync.Map // service → *route

	mu       sync.Mutex             // for changes of byName, and for what follows
	count    int                    // of byName
	limit    int                    // of count, until there may be too many
	watchers map[*feed.Watcher]bool // of all services
	listed   []chan struct{}        // by data center, closed when its services were read for the first time; nil before
}

func newRoutes(s *shared) *routes {
	return &routes{shared: s, limit: maxUnwatched, watchers: make(map[*feed.Watcher]bool)}
}

// get returns a service, which is followed from now on; nil after Close.
func (rs *routes) get(name string) *route {
	if rt, ok := rs.byName.Load(name); ok {
		return rt.(*route)
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.getLocked(name)
}

func (rs *routes) getLocked(name string) *route {
	if rt, ok := rs.byName.Load(name); ok {
		return rt.(*route)
	}
	if rs.ctx.Err() != nil {
		return nil
	}
	rs.makeRoomLocked()
	rt := newRoute(rs.shared, name)
	for w := range rs.watchers {
		rt.Attach(w)
		rt.DeliverInitial(w)
	}
	rs.byName.Store(name, rt)
	rs.count++
	rt.begin()
	return rt
}

// await returns a service when it is known which data center serves it.
func (rs *routes) await(ctx context.Context, name string) (*route, error) {
	for {
		rt := rs.get(name)
		if rt == nil {
			return nil, ErrClosed
		}
		err := rt.await(ctx)
		switch {
		case err == nil:
			return rt, nil
		case rs.ctx.Err() != nil:
			return nil, ErrClosed
		case ctx.Err() != nil:
			return nil, cmp.Or(rt.unanswered(err), err)
		}
	}
}

// watched returns a service that is followed until unwatch.
func (rs *routes) watched(name string) *route {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rt := rs.getLocked(name)
	if rt != nil {
		rt.watching++
	}
	return rt
}

func (rs *routes) unwatch(rt *route) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rt.watching--
}

// attachAll lets a watcher hear of all services. It reports whether the federation is open.
func (rs *routes) attachAll(w *feed.Watcher) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.ctx.Err() != nil {
		return false
	}
	rs.watchers[w] = true
	for _, rt := range rs.list() {
		rt.Attach(w)
		rt.DeliverInitial(w)
	}
	return true
}

func (rs *routes) detachAll(w *feed.Watcher) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.watchers, w)
	for _, rt := range rs.list() {
		rt.Detach(w)
	}
}

// list returns all that there are.
func (rs *routes) list() []*route {
	var all []*route
	rs.byName.Range(func(_, rt any) bool {
		all = append(all, rt.(*route))
		return true
	})
	return all
}

// countServed returns how many services each data center serves.
func (rs *routes) countServed() map[string]int {
	served := make(map[string]int)
	for _, d := range rs.datacenters {
		served[d.name] = 0
	}
	for _, rt := range rs.list() {
		if s := rt.status(); s.Datacenter != "" {
			served[s.Datacenter]++
		}
	}
	return served
}

// maxUnwatched bounds the services that nobody watches.
const maxUnwatched = 1000

// makeRoomLocked ends those services that were looked up longest ago, if there are too many that nobody watches. It
// ends some more, so that it needn't look each time.
func (rs *routes) makeRoomLocked() {
	if rs.count < rs.limit {
		return
	}
	unwatched := slices.DeleteFunc(rs.list(), rs.isWatchedLocked)
	slices.SortFunc(unwatched, func(a, b *route) int { return a.idleFrom.Compare(b.idleFrom) })
	const some = maxUnwatched / 10
	for _, rt := range unwatched[:max(0, len(unwatched)-maxUnwatched+some)] {
		rs.dropLocked(rt)
	}
	rs.limit = rs.count + some
}

// isWatchedLocked reports whether somebody hears of a service's changes: all that has nodes is watched with everything.
func (rs *routes) isWatchedLocked(rt *route) bool {
	return rt.watching > 0 || rs.all.Load() && rt.isServed()
}

func (rs *routes) dropLocked(rt *route) {
	rs.byName.Delete(rt.name)
	rs.count--
	rt.stop()
}

// sweepTime is how often idle services are looked for.
const sweepTime = time.Minute

func (rs *routes) sweepLoop() {
	tick := time.NewTicker(sweepTime)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			rs.sweep(time.Now())
		case <-rs.ctx.Done():
			return
		}
	}
}

// sweep ends what is idle.
func (rs *routes) sweep(now time.Time) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, rt := range rs.list() {
		switch {
		case rt.used.Swap(false), rs.isWatchedLocked(rt):
			rt.idleFrom = now
		case now.Sub(rt.idleFrom) >= idleTime:
			rs.dropLocked(rt)
			continue
		}
		rt.leaveRemotes(now)
	}
	rs.shown.Sweep(func(string) bool { return false })
}

// close ends all watchers and services.
func (rs *routes) close() {
	rs.mu.Lock()
	for w := range rs.watchers {
		w.End(ErrClosed)
	}
	rs.mu.Unlock()
	for _, rt := range rs.list() {
		rt.EndWatchers(ErrClosed)
		rt.stop()
	}
}
