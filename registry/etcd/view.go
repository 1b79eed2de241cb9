package etcd

import (
	"context"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
)

// This file is what others get of a mirror: lookups its view, and watchers what changes in it.

// await waits until the mirror is ready. It gives up when ctx ends, and at once when etcd
// itself says no.
func (m *mirror) await(ctx context.Context) error {
	for {
		m.mu.Lock()
		broken, failed := m.broken, m.failed
		m.mu.Unlock()
		if !m.isReady() && etcdconn.IsAnswer(broken) {
			return broken
		}
		select {
		case <-m.ready:
			return nil
		case <-failed:
		case <-ctx.Done():
			return m.mirrors.connector.Failure(ctx, context.Cause(ctx))
		}
	}
}

// failedFirst reports whether a first list has failed, and none has succeeded.
func (m *mirror) failedFirst() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.broken != nil && !m.isReady()
}

// view returns the service as it is known now, or nil.
func (m *mirror) view(name string) *catalog.Snapshot {
	m.use()
	if s, ok := m.views.Load(name); ok {
		return s.(*catalog.Snapshot)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.views.Load(name); ok {
		return s.(*catalog.Snapshot)
	}
	s := m.catalog.Snapshot(name)
	keeps := s != nil && !m.dropped
	m.mirrors.shown.look(name, m.mirrors.keys.Dir(name), m.catalog, m, keeps)
	if keeps {
		m.views.Store(name, s)
	}
	return s
}

// all returns every service as it is known now.
func (m *mirror) all() []*catalog.Snapshot {
	m.use()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mirrors.shown.lookWhole(m.mirrors.keys, m.catalog, m)
	return m.catalog.Snapshots()
}

// drop ends what the mirror shows.
func (m *mirror) drop() {
	m.end()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dropped = true
	m.views.Range(func(name, _ any) bool {
		m.hideLocked(name.(string))
		return true
	})
}

// hideLocked ends what view has begun: what it returned isn't returned any more.
func (m *mirror) hideLocked(name string) {
	if _, ok := m.views.LoadAndDelete(name); ok {
		m.mirrors.shown.release(name)
	}
}

// attach makes a watcher hear of every change from now on, and before that of those since the lookups of the last
// minute. If there is no list yet, that comes with it.
func (m *mirror) attach(w *watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.mirror = m
	m.watchers[w] = struct{}{}
	if m.isReady() {
		m.tellLocked(w, m.mirrors.shown.differences(m.prefix, m.catalog))
	}
}

func (m *mirror) detach(w *watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.watchers, w)
}

// late marks a watcher whose Watch couldn't wait for the first list.
func (m *mirror) late(w *watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.isReady() {
		w.fromStart = true
	}
}

// publishLocked hands changes to readers and watchers.
func (m *mirror) publishLocked(changes []catalog.Change) {
	if len(changes) == 0 {
		return
	}
	m.noteLocked(changes)
	for w := range m.watchers {
		m.tellLocked(w, changes)
	}
}

// noteLocked makes changes visible to lookups.
func (m *mirror) noteLocked(changes []catalog.Change) {
	for _, c := range changes {
		m.hideLocked(c.Record.Name)
		m.newest = max(m.newest, c.Record.Revision)
	}
	m.mirrors.shown.follow(m, changes)
}

func (m *mirror) tellLocked(w *watcher, changes []catalog.Change) {
	if w.service != "" {
		var wanted []catalog.Change
		for _, c := range changes {
			if c.Record.Name == w.service {
				wanted = append(wanted, c)
			}
		}
		changes = wanted
	}
	w.push(changes, m.catalog, m.mirrors.shown.seen)
}
