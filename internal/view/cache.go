package view

import (
	"cmp"
	"context"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/cachefile"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/etcderr"
	"github.com/micro-etcd/micro-etcd/internal/feed"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// Cache holds the views that a registry keeps: one for each service that is looked up or watched, and one of everything
// if somebody watches that. One that nobody watches goes ten minutes after its last use, or earlier if there are too
// many.
type Cache struct {
	*shared

	byName sync.Map // service name → *View: for lookups without a lock

	mu        sync.Mutex
	byPrefix  map[string]*View
	unwatched map[*View]struct{}
	sweeping  bool
	swept     int64 // the last epoch that a sweep has seen the end of
	closed    bool  // no more watchers
}

// New returns a cache without views.
func New(c Config) *Cache {
	all := &Cache{shared: newShared(c), byPrefix: make(map[string]*View), unwatched: make(map[*View]struct{})}
	all.Saver = cachefile.NewSaver(cachefile.SaverConfig{
		Dir: c.CacheDir, Unsaved: all.unsaved, Changed: c.Changed, Warnf: c.Warnf,
	})
	return all
}

const (
	// idleTime is how long a view that nobody watches is kept after its last use: a lookup, or a Select.
	idleTime = 10 * time.Minute
	// sweepTime is how often views are looked through for idle ones.
	sweepTime = time.Minute
	// maxUnwatched bounds the views that nobody watches.
	maxUnwatched = 1000
)

// Known returns the service if it is followed and was looked up before. It takes no lock.
func (c *Cache) Known(name string) (*catalog.Snapshot, bool) {
	m, ok := c.byName.Load(name)
	if !ok {
		return nil, false
	}
	c.metrics.Lookups.Add(m.(*View).source())
	return m.(*View).Snapshot(name), true
}

// Lookup returns the service as it is known, or nil, and the view that follows it from then on.
func (c *Cache) Lookup(ctx context.Context, name string) (*catalog.Snapshot, *View, error) {
	v, from := c.acquire(name)
	defer c.release(v)
	err := v.await(ctx)
	if v.IsCached() {
		from = metrics.SourceCached
	}
	c.metrics.Lookups.Add(from)
	if err != nil {
		return nil, nil, err
	}
	view := v.Snapshot(name)
	if view != nil {
		c.index(name, v)
	}
	return view, v, nil
}

// acquire returns the view to look a service up in, and what it answers from. The view stays until release.
func (c *Cache) acquire(name string) (*View, metrics.Source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir := c.Keys.Dir(name)
	v := c.atLocked(dir)
	if whole := c.readyRootLocked(); whole != nil && (v == nil || !v.IsReady()) {
		v = whole
	}
	from := metrics.SourceRemote
	if v != nil {
		from = v.firstSource()
	} else {
		v = c.startLocked(dir)
	}
	v.use()
	v.waiters++
	return v, from
}

// atLocked returns the view of a prefix, unless it has failed while nobody waited for it: why it did may be an old
// story.
func (c *Cache) atLocked(prefix string) *View {
	v := c.byPrefix[prefix]
	if v != nil && v.isUnusedLocked() && v.failedFirst() {
		c.dropLocked(v)
		return nil
	}
	return v
}

// isUnusedLocked reports whether nobody waits for the view or watches it.
func (v *View) isUnusedLocked() bool { return v.waiters == 0 && v.watching == 0 }

// release ends what acquire began.
func (c *Cache) release(v *View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v.waiters--
	c.dropIfFailedLocked(v)
}

// unwatch takes a watcher off its view.
func (c *Cache) unwatch(v *View, w *feed.Watcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v.Detach(w)
	if v.watching--; v.watching == 0 && c.byPrefix[v.Prefix] == v {
		v.use()
		c.unwatched[v] = struct{}{}
		c.dropIfFailedLocked(v)
	}
}

// dropIfFailed ends a view that nobody waits for or watches if it can't have a first list. One that goes on may take
// longer than a call, and who asks again shall not begin it anew.
func (c *Cache) dropIfFailed(v *View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropIfFailedLocked(v)
}

func (c *Cache) dropIfFailedLocked(v *View) {
	if v.isUnusedLocked() && v.failedFirst() {
		c.dropLocked(v)
	}
}

// index lets lookups find the view of a service without a lock. That of everything isn't for a service with one of its
// own, which may be ahead of it.
func (c *Cache) index(name string, v *View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.byPrefix[c.Keys.Dir(name)]
	if c.byPrefix[v.Prefix] == v && (own == nil || own == v) {
		if known, _ := c.byName.Swap(name, v); known != v {
			v.names = append(v.names, name)
		}
	}
}

// readyRootLocked returns the view of everything if there is one that etcd has filled.
func (c *Cache) readyRootLocked() *View {
	if v := c.byPrefix[c.Keys.Prefix]; v != nil && v.IsReady() && !v.IsCached() {
		return v
	}
	return nil
}

// startLocked makes a view and lets it follow.
func (c *Cache) startLocked(prefix string) *View {
	v := c.addLocked(prefix)
	c.Connector.Go(func() { v.reflector.Run(v.Context) })
	if c.CacheDir().Path != "" {
		c.Connector.Go(v.loadUnlessListed)
	}
	c.keepSweepingLocked()
	return v
}

// Detached returns a view that nobody keeps up to date but the caller, for tests of what reads it.
func (c *Cache) Detached(prefix string) *View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addLocked(prefix)
}

func (c *Cache) addLocked(prefix string) *View {
	c.makeRoomLocked()
	c.epoch.Add(1)
	v := newView(c.shared, prefix, c.dropIfFailed)
	if whole := c.byPrefix[c.Keys.Prefix]; whole != nil {
		whole.names = slices.DeleteFunc(whole.names, func(name string) bool {
			return c.Keys.Dir(name) == prefix && c.byName.CompareAndDelete(name, whole)
		})
	}
	c.byPrefix[v.Prefix] = v
	c.unwatched[v] = struct{}{}
	return v
}

// makeRoomLocked ends a view that nobody watches or waits for, if there are too many: one without nodes or without a
// list, or else the one that was used longest ago.
func (c *Cache) makeRoomLocked() {
	if len(c.unwatched) < maxUnwatched {
		return
	}
	var least *View
	var leastFull bool
	for v := range c.unwatched {
		if v.waiters > 0 {
			continue
		}
		full := !v.isEmpty()
		if least == nil || leastFull && !full || full == leastFull && v.used.Load() < least.used.Load() {
			least, leastFull = v, full
		}
	}
	if least != nil {
		c.dropLocked(least)
	}
}

// Drop ends a view, for tests of who reads it.
func (c *Cache) Drop(v *View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(v)
}

// dropLocked ends a view.
func (c *Cache) dropLocked(v *View) {
	v.drop()
	delete(c.unwatched, v)
	if c.byPrefix[v.Prefix] == v {
		delete(c.byPrefix, v.Prefix)
	}
	for _, name := range v.names {
		c.byName.CompareAndDelete(name, v)
	}
}

// keepSweepingLocked sees to it that what is idle goes.
func (c *Cache) keepSweepingLocked() {
	if !c.sweeping {
		c.sweeping = true
		c.Connector.Go(c.sweepLoop)
	}
}

func (c *Cache) sweepLoop() {
	for c.Connector.Context.Err() == nil {
		retry.Sleep(c.Connector.Context, sweepTime)
		c.sweep()
	}
}

// sweep ends what is idle. What was shown of a part that is watched and has no first list is kept until then.
func (c *Cache) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	unready := make(map[string]bool)
	for prefix, v := range c.byPrefix {
		switch {
		case v.watching > 0 && !v.IsReady():
			unready[prefix] = true
		case v.used.Load() > c.swept:
			v.idleFrom = time.Now()
		case v.isUnusedLocked() && time.Since(v.idleFrom) >= idleTime:
			c.dropLocked(v)
		}
	}
	c.swept = c.epoch.Add(1) - 1
	c.shown.Sweep(func(dir string) bool { return unready[c.Keys.Prefix] || unready[dir] })
}

// Watch returns a watcher of a service, or of everything, which ends with life or stop. It waits until the view has its
// first list. If etcd doesn't give one in time, the watcher works all the same; if etcd refuses it, that is an error.
func (c *Cache) Watch(ctx, life context.Context, service string) (*feed.Watcher, error) {
	w := feed.NewWatcher(life, service)
	v := c.attach(w)
	if v == nil {
		w.Stop()
		return nil, etcdconn.ErrClosed
	}
	context.AfterFunc(w.Context, func() { c.unwatch(v, w) })
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.Context, cancel)()
	err := v.await(ctx)
	if etcderr.IsAnswer(err) {
		w.Stop()
		return nil, err
	}
	if err != nil {
		v.DeliverInitial(w)
	}
	return w, nil
}

// attach returns the view that a watcher is on from then on, or nil if the cache is closed.
func (c *Cache) attach(w *feed.Watcher) *View {
	prefix := c.Keys.Prefix
	if w.Service != "" {
		prefix = c.Keys.Dir(w.Service)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	v := c.atLocked(prefix)
	if v == nil {
		v = c.startLocked(prefix)
	}
	v.watching++
	delete(c.unwatched, v)
	v.Attach(w)
	return v
}

// List returns all services from the view of everything, if there is one that etcd has filled.
func (c *Cache) List() ([]*catalog.Snapshot, bool) {
	c.mu.Lock()
	v := c.readyRootLocked()
	c.mu.Unlock()
	if v == nil {
		return nil, false
	}
	return v.all(), true
}

// OwnPut shows a record of this process that etcd has taken to every view that it belongs to.
func (c *Cache) OwnPut(r *catalog.Record) {
	for _, v := range c.of(r.Key) {
		own := *r
		v.ownPut(&own)
	}
}

// OwnDelete shows that etcd has deleted a key for this process.
func (c *Cache) OwnDelete(key string, revision int64) {
	for _, v := range c.of(key) {
		v.ownDelete(key, revision)
	}
}

// of returns the views that a key belongs to.
func (c *Cache) of(key string) []*View {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*View
	for _, prefix := range []string{c.Keys.Prefix, c.Keys.DirOf(key)} {
		if v := c.byPrefix[prefix]; v != nil {
			found = append(found, v)
		}
	}
	return found
}

// ClientChanged makes every view list again from another client.
func (c *Cache) ClientChanged() {
	for _, v := range c.All() {
		v.clientChanged()
	}
}

// resyncTime is what a resync is spread over: a whole fleet finds out at one moment that its etcd was restored.
const resyncTime = 3 * time.Second

// Resync makes every view list again soon, because etcd's data may be others than they were.
func (c *Cache) Resync() {
	for _, v := range c.All() {
		time.AfterFunc(rand.N(resyncTime), func() { v.Relist(metrics.ListHistoryChanged) })
	}
}

// Remembered returns how many services are remembered as shown, and how many nodes of the given one.
func (c *Cache) Remembered(service string) (services, nodes int) { return c.shown.Remembered(service) }

// Status returns that of every view, sorted by prefix.
func (c *Cache) Status() []Status {
	all := c.All()
	status := make([]Status, len(all))
	for i, v := range all {
		status[i] = v.status()
	}
	slices.SortFunc(status, func(a, b Status) int { return cmp.Compare(a.Prefix, b.Prefix) })
	return status
}

// having returns the ready views that have a service, each with the newest revision in it.
func (c *Cache) having(name string) map[*View]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := make(map[*View]int64)
	for _, prefix := range []string{c.Keys.Prefix, c.Keys.Dir(name)} {
		if v := c.byPrefix[prefix]; v != nil && v.IsReady() {
			found[v] = v.newestRevision()
		}
	}
	return found
}

// IsOutOfService reports whether there is a notice instead of a node's record, as far as the views know.
func (c *Cache) IsOutOfService(name, id string) bool {
	notice := c.Keys.Notice(c.Keys.Node(name, id))
	for v := range c.having(name) {
		if v.isMalformed(notice) { // a notice is no record
			return true
		}
	}
	return false
}

// Close ends every watcher, and takes no more.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	for _, v := range c.All() {
		v.EndWatchers(etcdconn.ErrClosed)
	}
}

// All returns the views there are.
func (c *Cache) All() []*View {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*View, 0, len(c.byPrefix))
	for _, v := range c.byPrefix {
		all = append(all, v)
	}
	return all
}

// unsaved yields what isn't in files yet.
func (c *Cache) unsaved(dir cachefile.Dir) iter.Seq[cachefile.Entry] {
	return func(yield func(cachefile.Entry) bool) {
		for _, v := range c.All() {
			if e, ok := v.entry(dir); ok && !yield(e) {
				return
			}
		}
	}
}
