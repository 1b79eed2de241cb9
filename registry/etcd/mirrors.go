package etcd

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// mirrors are the views that a registry keeps: one for each service that is looked up or watched, and one of everything
// if somebody watches that. One that nobody watches goes ten minutes after its last use, or earlier if there are too many.
//
// Lock order: mirrors.mu, mirror.mu, watcher.mu, shown.mu. malformed.mu is taken last.
type mirrors struct {
	mirrorsConfig
	metrics   *metrics.Metrics
	malformed *malformed
	shown     *shown

	byName sync.Map     // service name → *mirror: for lookups without a lock
	epoch  atomic.Int64 // goes on with each new view and each sweep; views note in which one they were used

	mu        sync.Mutex
	byPrefix  map[string]*mirror
	unwatched map[*mirror]struct{}
	sweeping  bool
	swept     int64 // the last epoch that a sweep has seen the end of
}

// mirrorsConfig is what mirrors need.
type mirrorsConfig struct {
	closing   context.Context // ends when the registry's Close begins
	connector *etcdconn.Connector
	keys      catalog.Keyspace
	timeout   func() time.Duration
	changed   func() // called when a view breaks off or follows again, or finds what is no record; doesn't block
}

func newMirrors(c mirrorsConfig) *mirrors {
	return &mirrors{
		mirrorsConfig: c, metrics: c.connector.Metrics, malformed: &malformed{changed: c.changed}, shown: newShown(),
		byPrefix: make(map[string]*mirror), unwatched: make(map[*mirror]struct{}),
	}
}

const (
	// idleTime is how long a view that nobody watches is kept after its last use: a lookup, or a Select.
	idleTime = 10 * time.Minute
	// sweepTime is how often views are looked through for idle ones.
	sweepTime = time.Minute
	// maxUnwatched bounds the views that nobody watches.
	maxUnwatched = 1000
)

// lister reads a prefix.
func (ms *mirrors) lister(prefix string, link *atomic.Pointer[etcdconn.Client]) reflector.Lister {
	etcd := viewSource{connector: ms.connector, link: link}
	return reflector.Lister{Etcd: etcd, Prefix: prefix, Timeout: ms.timeout, Connected: ms.connector.IsConnected}
}

// known returns the service if it is followed and was looked up before. It takes no lock.
func (ms *mirrors) known(name string) (*catalog.Snapshot, bool) {
	m, ok := ms.byName.Load(name)
	if !ok {
		return nil, false
	}
	ms.metrics.Lookups.Add(m.(*mirror).origin())
	return m.(*mirror).view(name), true
}

// lookup returns the service as it is known, or nil, and the mirror that follows it from then on.
func (ms *mirrors) lookup(ctx context.Context, name string) (*catalog.Snapshot, *mirror, error) {
	m, from := ms.borrow(name)
	defer ms.giveBack(m)
	ms.metrics.Lookups.Add(from)
	if err := m.await(ctx); err != nil {
		return nil, nil, err
	}
	view := m.view(name)
	if view != nil {
		ms.alias(name, m)
	}
	return view, m, nil
}

// borrow returns the mirror to look a service up in, which stays until it is given back, and what answers from there.
func (ms *mirrors) borrow(name string) (*mirror, metrics.Source) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	dir := ms.keys.Dir(name)
	m := ms.atLocked(dir)
	if whole := ms.readyWholeLocked(); whole != nil && (m == nil || !m.isReady()) {
		m = whole
	}
	from := metrics.SourceRemote
	if m != nil {
		from = m.firstOrigin()
	} else {
		m = ms.startLocked(dir)
	}
	m.use()
	m.waiters++
	return m, from
}

// atLocked returns the mirror of a prefix, unless it has failed while nobody waited for it: why it did
// may be an old story.
func (ms *mirrors) atLocked(prefix string) *mirror {
	m := ms.byPrefix[prefix]
	if m != nil && m.unattendedLocked() && m.failedFirst() {
		ms.dropLocked(m)
		return nil
	}
	return m
}

// unattendedLocked reports whether nobody waits for the mirror or watches it.
func (m *mirror) unattendedLocked() bool { return m.waiters == 0 && m.watching == 0 }

// giveBack ends what borrow began.
func (ms *mirrors) giveBack(m *mirror) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	m.waiters--
	ms.reviewLocked(m)
}

// unwatch takes a watcher off its mirror.
func (ms *mirrors) unwatch(w *watcher) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	m := w.mirror
	m.detach(w)
	if m.watching--; m.watching == 0 && ms.byPrefix[m.prefix] == m {
		m.use()
		ms.unwatched[m] = struct{}{}
		ms.reviewLocked(m)
	}
}

// review ends a mirror that nobody waits for or watches if it can't have a first list. One that goes on may take longer
// than a call, and who asks again shall not begin it anew.
func (ms *mirrors) review(m *mirror) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.reviewLocked(m)
}

func (ms *mirrors) reviewLocked(m *mirror) {
	if m.unattendedLocked() && m.failedFirst() {
		ms.dropLocked(m)
	}
}

// alias lets lookups find the mirror of a service without a lock. That of everything isn't for a service with one of its
// own, which may be ahead of it.
func (ms *mirrors) alias(name string, m *mirror) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	own := ms.byPrefix[ms.keys.Dir(name)]
	if ms.byPrefix[m.prefix] == m && (own == nil || own == m) {
		if known, _ := ms.byName.Swap(name, m); known != m {
			m.names = append(m.names, name)
		}
	}
}

// readyWholeLocked returns the mirror of everything if there is one and it is ready.
func (ms *mirrors) readyWholeLocked() *mirror {
	if m := ms.byPrefix[ms.keys.Prefix]; m != nil && m.isReady() {
		return m
	}
	return nil
}

// startLocked makes a mirror and lets it follow.
func (ms *mirrors) startLocked(prefix string) *mirror {
	m := ms.addLocked(prefix)
	ms.connector.Go(func() { m.reflector.Run(m.ctx) })
	ms.keepSweepingLocked()
	return m
}

// detached returns a mirror that nobody keeps up to date but the caller, for tests of what reads it.
func (ms *mirrors) detached(prefix string) *mirror {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return ms.addLocked(prefix)
}

func (ms *mirrors) addLocked(prefix string) *mirror {
	ms.makeRoomLocked()
	ms.epoch.Add(1)
	m := newMirror(ms, prefix)
	m.ctx, m.end = context.WithCancel(ms.connector.Context)
	if whole := ms.byPrefix[ms.keys.Prefix]; whole != nil {
		whole.names = slices.DeleteFunc(whole.names, func(name string) bool {
			return ms.keys.Dir(name) == prefix && ms.byName.CompareAndDelete(name, whole)
		})
	}
	ms.byPrefix[m.prefix] = m
	ms.unwatched[m] = struct{}{}
	return m
}

// makeRoomLocked ends a view that nobody watches or waits for, if there are too many: one without nodes or without a list, or
// else the one that was used longest ago.
func (ms *mirrors) makeRoomLocked() {
	if len(ms.unwatched) < maxUnwatched {
		return
	}
	var least *mirror
	var leastFull bool
	for m := range ms.unwatched {
		if m.waiters > 0 {
			continue
		}
		full := !m.isEmpty()
		if least == nil || leastFull && !full || full == leastFull && m.used.Load() < least.used.Load() {
			least, leastFull = m, full
		}
	}
	if least != nil {
		ms.dropLocked(least)
	}
}

// dropLocked ends a mirror.
func (ms *mirrors) dropLocked(m *mirror) {
	m.drop()
	delete(ms.unwatched, m)
	if ms.byPrefix[m.prefix] == m {
		delete(ms.byPrefix, m.prefix)
	}
	for _, name := range m.names {
		ms.byName.CompareAndDelete(name, m)
	}
}

// keepSweepingLocked sees to it that what is idle goes.
func (ms *mirrors) keepSweepingLocked() {
	if !ms.sweeping {
		ms.sweeping = true
		ms.connector.Go(ms.sweepLoop)
	}
}

func (ms *mirrors) sweepLoop() {
	for ms.connector.Context.Err() == nil {
		retry.Pause[struct{}](ms.connector.Context, sweepTime, nil)
		ms.sweep()
	}
}

// sweep ends what is idle. What was shown of a part that is watched and has no first list is kept until then.
func (ms *mirrors) sweep() {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	unready := make(map[string]bool)
	for prefix, m := range ms.byPrefix {
		switch {
		case m.watching > 0 && !m.isReady():
			unready[prefix] = true
		case m.used.Load() > ms.swept:
			m.idleFrom = time.Now()
		case m.unattendedLocked() && time.Since(m.idleFrom) >= idleTime:
			ms.dropLocked(m)
		}
	}
	ms.swept = ms.epoch.Add(1) - 1
	ms.shown.sweep(func(dir string) bool { return unready[ms.keys.Prefix] || unready[dir] })
}

// watch returns a watcher of a service, or of everything, which ends with life or stop. It waits until the view has its
// first list. If etcd doesn't give one in time, the watcher works all the same; if etcd refuses it, that is an error.
func (ms *mirrors) watch(ctx, life context.Context, service string) (*watcher, error) {
	w := newWatcher(life, service)
	m := ms.attach(w)
	stop := context.AfterFunc(ms.closing, func() { w.end(etcdconn.ErrClosed) })
	context.AfterFunc(w.ctx, func() {
		stop()
		ms.unwatch(w)
	})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.ctx, cancel)()
	err := m.await(ctx)
	if etcdconn.IsAnswer(err) {
		w.stop()
		return nil, err
	}
	if err != nil {
		m.late(w)
	}
	return w, nil
}

// ask reads a service from etcd's leader. The views that have it take that in, so that they aren't behind what was shown.
func (ms *mirrors) ask(ctx context.Context, name string) (*catalog.Snapshot, error) {
	ms.metrics.Lookups.Add(metrics.SourceRemote)
	dir := ms.keys.Dir(name)
	views := ms.having(name)
	found, revision, err := ms.read(ctx, dir)
	if err != nil {
		return nil, err
	}
	for m, floor := range views {
		m.takeIn(name, found, revision, floor)
	}
	ms.shown.look(name, dir, found, nil, false)
	return found.Snapshot(name), nil
}

// askAll reads all services from etcd's leader.
func (ms *mirrors) askAll(ctx context.Context) ([]*catalog.Snapshot, error) {
	found, _, err := ms.read(ctx, ms.keys.Prefix)
	if err != nil {
		return nil, err
	}
	ms.shown.lookWhole(ms.keys, found, nil)
	return found.Snapshots(), nil
}

// read returns what etcd has below a prefix, and at which revision.
func (ms *mirrors) read(ctx context.Context, prefix string) (*catalog.Catalog, int64, error) {
	lister := ms.lister(prefix, nil)
	all, err := lister.List(ctx)
	if err != nil {
		return nil, 0, err
	}
	found := catalog.New()
	d := catalog.NewDecoder(ms.keys)
	for _, kv := range all.Kvs {
		if record := ms.malformed.decode(d, kv); record != nil {
			found.Put(record)
		}
	}
	return found, all.Header.Revision, nil
}

func (ms *mirrors) attach(w *watcher) *mirror {
	prefix := ms.keys.Prefix
	if w.service != "" {
		prefix = ms.keys.Dir(w.service)
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	m := ms.atLocked(prefix)
	if m == nil {
		m = ms.startLocked(prefix)
	}
	m.watching++
	delete(ms.unwatched, m)
	m.attach(w)
	return m
}

// listed returns all services from the mirror of everything, if there is one.
func (ms *mirrors) listed() ([]*catalog.Snapshot, bool) {
	ms.mu.Lock()
	m := ms.readyWholeLocked()
	ms.mu.Unlock()
	if m == nil {
		return nil, false
	}
	return m.all(), true
}

// having returns the ready mirrors that have a service, each with the newest revision in it.
func (ms *mirrors) having(name string) map[*mirror]int64 {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	found := make(map[*mirror]int64)
	for _, prefix := range []string{ms.keys.Prefix, ms.keys.Dir(name)} {
		if m := ms.byPrefix[prefix]; m != nil && m.isReady() {
			found[m] = m.newestRevision()
		}
	}
	return found
}

// ownPut shows a record of this process that etcd has taken to every view that it belongs to.
func (ms *mirrors) ownPut(r *catalog.Record) {
	for _, m := range ms.of(r.Key) {
		own := *r
		m.ownPut(&own)
	}
}

// ownDelete shows that etcd has deleted a key for this process.
func (ms *mirrors) ownDelete(key string, revision int64) {
	for _, m := range ms.of(key) {
		m.ownDelete(key, revision)
	}
}

// of returns the mirrors that a key belongs to.
func (ms *mirrors) of(key string) []*mirror {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	var found []*mirror
	for _, prefix := range []string{ms.keys.Prefix, ms.keys.DirOf(key)} {
		if m := ms.byPrefix[prefix]; m != nil {
			found = append(found, m)
		}
	}
	return found
}

// replace makes every view list again from another client.
func (ms *mirrors) replace() {
	for _, m := range ms.all() {
		m.replace()
	}
}

// relist makes every view list again, because etcd's data may be others than they were.
func (ms *mirrors) relist() {
	for _, m := range ms.all() {
		m.doubt(metrics.ListHistoryChanged)
	}
}

// status returns that of every view, sorted by prefix.
func (ms *mirrors) status() []viewStatus {
	all := ms.all()
	status := make([]viewStatus, len(all))
	for i, m := range all {
		status[i] = m.status()
	}
	slices.SortFunc(status, func(a, b viewStatus) int { return cmp.Compare(a.Prefix, b.Prefix) })
	return status
}

// close ends every watcher.
func (ms *mirrors) close() {
	for _, m := range ms.all() {
		m.mu.Lock()
		for w := range m.watchers {
			w.end(etcdconn.ErrClosed)
		}
		m.mu.Unlock()
	}
}

// all returns the mirrors there are.
func (ms *mirrors) all() []*mirror {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	all := make([]*mirror, 0, len(ms.byPrefix))
	for _, m := range ms.byPrefix {
		all = append(all, m)
	}
	return all
}
