package etcd

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// mirrors are the views that a registry keeps: one for each service that is looked up or
// watched, and one of everything while somebody watches everything. Their number is bounded
// by the services there are: a few unknown names are followed too, because a client that waits
// for a service asks again and again; more of them are read and forgotten.
//
// Lock order: mirrors.mu, then mirror.mu, then watcher.mu.
type mirrors struct {
	closing   context.Context // ends when the registry's Close begins
	ctx       context.Context // ends when it is through with etcd
	connector *connector
	keys      keyspace
	timeout   func() time.Duration
	log       *log
	metrics   *metrics
	malformed *malformed

	exposed mark     // the newest revision that a look-up has shown
	shown   sync.Map // prefixes of which a look-up has shown the view, as long as they are followed

	byName sync.Map // service name → *mirror: for look-ups without a lock

	mu       sync.Mutex
	byPrefix map[string]*mirror
	unkept   time.Time // when a look-up was last answered without keeping its mirror
	sweeping bool
}

const (
	// maxUnknown bounds how many services without nodes are followed.
	maxUnknown = 64
	// sweepTime is how often mirrors are looked through for idle ones.
	sweepTime = time.Minute
	// maxIdle is how many sweeps a mirror survives without a look-up or a watcher.
	maxIdle = 10
	// maxIdleUnused is the same for one that has no nodes, or that only watchers of everything need.
	maxIdleUnused = 2
)

// known returns the service if it is followed and was looked up before. It takes no lock.
func (ms *mirrors) known(name string) (*catalogue.Snapshot, bool) {
	m, ok := ms.byName.Load(name)
	if !ok {
		return nil, false
	}
	ms.metrics.lookups.add(m.(*mirror).origin())
	return m.(*mirror).view(name), true
}

// lookup returns the service as it is known, or nil, and the mirror that follows it from then on.
func (ms *mirrors) lookup(ctx context.Context, name string) (*catalogue.Snapshot, *mirror, error) {
	m, from := ms.borrow(name)
	defer ms.giveBack(m)
	ms.metrics.lookups.add(from)
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
func (ms *mirrors) borrow(name string) (*mirror, origin) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	dir := ms.keys.dir(name)
	m, from := ms.at(dir), fromEtcd
	if m == nil {
		m = ms.watchedWhole()
	}
	if m != nil {
		from = m.firstOrigin()
	} else {
		m = ms.start(dir)
	}
	m.waiters++
	return m, from
}

// at returns the mirror of a prefix, unless it has failed while nobody waited for it: why it did
// may be an old story. It needs mu.
func (ms *mirrors) at(prefix string) *mirror {
	m := ms.byPrefix[prefix]
	if m != nil && m.unattended() && m.failedFirst() {
		ms.drop(m)
		return nil
	}
	return m
}

// giveBack ends what borrow began.
func (ms *mirrors) giveBack(m *mirror) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	m.waiters--
	ms.review(m)
}

// unwatch takes a watcher off its mirror.
func (ms *mirrors) unwatch(w *watcher) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	w.mirror.detach(w)
	ms.review(w.mirror)
}

// review ends a mirror that nobody waits for or watches, if there is nothing to lose. A first list goes on, because
// it may take longer than a call, and who asks again shall not begin it anew.
func (ms *mirrors) review(m *mirror) {
	if m.unattended() && (m.failedFirst() || ms.superfluous(m)) {
		ms.drop(m)
	}
}

// superfluous reports whether a mirror is one unknown name too many.
func (ms *mirrors) superfluous(m *mirror) bool {
	if !m.unknown() {
		return false
	}
	unknown := 0
	for _, other := range ms.byPrefix {
		if other != m && other.unknown() && (other.isReady() || other.unattended()) {
			unknown++
		}
	}
	return unknown >= maxUnknown
}

// keep reports whether a mirror shall follow what it has listed.
func (ms *mirrors) keep(m *mirror) bool {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if !ms.superfluous(m) {
		return true
	}
	ms.unkept = time.Now()
	ms.drop(m)
	return false
}

// alias lets look-ups find the mirror of a service without a lock. The mirror of everything
// is not for them: it goes when its last watcher does.
func (ms *mirrors) alias(name string, m *mirror) {
	if m.whole() {
		return
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.byPrefix[m.prefix] == m {
		if known, _ := ms.byName.Swap(name, m); known != m {
			m.names = append(m.names, name)
		}
	}
}

// watchedWhole returns the mirror of everything if it is ready and somebody watches it.
func (ms *mirrors) watchedWhole() *mirror {
	m := ms.byPrefix[ms.keys.prefix]
	if m == nil || !m.isReady() || !m.watched() {
		return nil
	}
	return m
}

// start makes a mirror and lets it follow. What other mirrors know of its part is its seed.
func (ms *mirrors) start(prefix string) *mirror {
	m := newMirror(ms, prefix)
	if time.Since(ms.unkept) < replayTime {
		m.claim(prefix)
	}
	for _, other := range ms.byPrefix {
		if !other.isReady() || !m.whole() && !other.whole() {
			continue
		}
		other.mu.Lock()
		if other.looked {
			m.seed(other.prefix, other.catalogue.Records, other.replay.items)
		}
		other.mu.Unlock()
	}
	ms.run(m)
	return m
}

func (ms *mirrors) run(m *mirror) {
	m.ctx, m.end = context.WithCancel(ms.ctx)
	ms.byPrefix[m.prefix] = m
	ms.connector.group.run(func() { m.run(m.ctx) })
	if !ms.sweeping {
		ms.sweeping = true
		ms.connector.group.run(ms.sweepLoop)
	}
}

// adopt notes what a look-up in etcd has shown of a prefix at a revision, and follows a
// service from there unless it is followed already.
func (ms *mirrors) adopt(prefix string, shown *catalogue.Catalogue, revision int64) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	m, whole := ms.byPrefix[prefix], ms.byPrefix[ms.keys.prefix]
	switch {
	case m != nil:
		m.shown(revision)
	case whole != nil:
		whole.shown(revision)
	case prefix != ms.keys.prefix:
		m = newMirror(ms, prefix)
		m.seed(prefix, shown.Records, nil)
		ms.exposed.raise(revision)
		ms.run(m)
	}
}

// ofShown returns the changes in directories of which a look-up has shown the view.
func (ms *mirrors) ofShown(changes []catalogue.Change) []catalogue.Change {
	return slices.DeleteFunc(slices.Clone(changes), func(c catalogue.Change) bool {
		_, ok := ms.shown.Load(ms.keys.dirOf(c.Record.Key))
		return !ok
	})
}

// drop ends a mirror. It needs mu.
func (ms *mirrors) drop(m *mirror) {
	m.end()
	m.mu.Lock()
	m.dropped = true
	m.mu.Unlock()
	ms.shown.Delete(m.prefix)
	if ms.byPrefix[m.prefix] == m {
		delete(ms.byPrefix, m.prefix)
	}
	for _, name := range m.names {
		ms.byName.CompareAndDelete(name, m)
	}
}

// sweepLoop ends mirrors that nobody has used for a while.
func (ms *mirrors) sweepLoop() {
	for ms.ctx.Err() == nil {
		pause(ms.ctx, sweepTime, nil)
		ms.sweep()
	}
}

func (ms *mirrors) sweep() {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for _, m := range ms.byPrefix {
		m.forgetOld()
		if m.used.Swap(false) && !m.whole() || m.watched() || m.waiters > 0 {
			m.idle = 0
			continue
		}
		m.idle++
		if m.idle >= maxIdle || m.idle >= maxIdleUnused && (m.whole() || m.unknown()) {
			ms.drop(m)
		}
	}
}

// watch attaches a watcher to the mirror of its service, or of everything, and waits until
// that has its first list. If etcd doesn't give one in time, the watcher works all the same;
// if etcd refuses it, that is an error.
func (ms *mirrors) watch(ctx context.Context, w *watcher) error {
	prefix := ms.keys.prefix
	if w.service != "" {
		prefix = ms.keys.dir(w.service)
	}
	ms.mu.Lock()
	m := ms.at(prefix)
	if m == nil {
		m = ms.start(prefix)
	}
	m.attach(w)
	ms.mu.Unlock()
	stop := context.AfterFunc(ms.closing, func() { w.end(ErrClosed) })
	context.AfterFunc(w.ctx, func() {
		stop()
		ms.unwatch(w)
	})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.ctx, cancel)()
	err := m.await(ctx)
	if answered(err) {
		w.Stop()
		return err
	}
	if err != nil {
		m.late(w)
	}
	return nil
}

// listed returns all services from the mirror of everything, if somebody watches that.
func (ms *mirrors) listed() ([]*catalogue.Snapshot, bool) {
	ms.mu.Lock()
	m := ms.watchedWhole()
	ms.mu.Unlock()
	if m == nil {
		return nil, false
	}
	return m.all(), true
}

// wrote shows a write of this process to every view that it belongs to.
func (ms *mirrors) wrote(key string, w writing, value []byte) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for _, prefix := range []string{ms.keys.prefix, ms.keys.dirOf(key)} {
		if m := ms.byPrefix[prefix]; m != nil {
			m.wrote(key, w, value)
		}
	}
}

// close ends every watcher.
func (ms *mirrors) close() {
	for _, m := range ms.all() {
		m.mu.Lock()
		for w := range m.watchers {
			w.end(ErrClosed)
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
