package etcd

import (
	"context"
	"time"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// This file is what others get of a mirror: look-ups its view, and watchers what changes in it.

// replayTime is how long after a look-up a watcher may come and still be told what changed
// since. go-micro's cache takes up to ten seconds (registry/cache/cache.go, run).
const replayTime = time.Minute

// await waits until the mirror is ready. It gives up when ctx ends, and at once when etcd
// itself says no.
func (m *mirror) await(ctx context.Context) error {
	for {
		m.mu.Lock()
		broken, failed := m.broken, m.failed
		m.mu.Unlock()
		if !m.isReady() && answered(broken) {
			return broken
		}
		select {
		case <-m.ready:
			return nil
		case <-failed:
		case <-ctx.Done():
			l, _ := m.mirrors.connector.peek()
			return m.mirrors.connector.explain(ctx, l, context.Cause(ctx))
		}
	}
}

// unattended reports whether nobody waits for the mirror or watches it. It needs mirrors.mu.
func (m *mirror) unattended() bool { return m.waiters == 0 && !m.watched() }

// failedFirst reports whether a first list has failed, and none has succeeded.
func (m *mirror) failedFirst() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.broken != nil && !m.isReady()
}

// view returns the service as it is known now, or nil.
func (m *mirror) view(name string) *catalogue.Snapshot {
	if !m.used.Load() {
		m.used.Store(true)
	}
	if s, ok := m.views.Load(name); ok {
		return s.(*catalogue.Snapshot)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expose()
	s := m.catalogue.Snapshot(name)
	if s != nil {
		m.views.Store(name, s)
	}
	return s
}

// all returns every service as it is known now.
func (m *mirror) all() []*catalogue.Snapshot {
	m.used.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expose()
	return m.catalogue.Snapshots()
}

// expose notes that somebody is about to see the view. It needs mu.
func (m *mirror) expose() {
	m.looked = true
	m.mirrors.exposed.raise(m.newest)
	if !m.dropped {
		m.mirrors.shown.Store(m.prefix, true)
	}
}

// shown notes that a look-up past the mirror has shown what etcd had at a revision.
func (m *mirror) shown(revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expose()
	m.mirrors.exposed.raise(revision)
}

// attach makes a watcher hear of every change from now on, and before that of those since the
// look-ups of the last minute.
func (m *mirror) attach(w *watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.mirror = m
	m.watchers[w] = struct{}{}
	m.replay.dropBefore(time.Now().Add(-replayTime))
	m.replay.merge(m.catalogue, m.mirrors.exposed.Load())
	for _, e := range m.replay.items {
		m.tell(w, []catalogue.Change{e.change})
	}
}

func (m *mirror) detach(w *watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.watchers, w)
	m.used.Store(true)
}

// late marks a watcher whose Watch couldn't wait for the first list.
func (m *mirror) late(w *watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.isReady() {
		w.fromStart = true
	}
}

// publish hands changes to readers, to the watchers and to those to come.
func (m *mirror) publish(changes []catalogue.Change) {
	if len(changes) == 0 {
		return
	}
	m.note(changes)
	m.remember(changes)
	for w := range m.watchers {
		m.tell(w, changes)
	}
}

// note makes changes visible to look-ups.
func (m *mirror) note(changes []catalogue.Change) {
	for _, c := range changes {
		m.views.Delete(c.Record.Name)
		m.newest = max(m.newest, c.Record.Revision)
	}
}

// remember keeps changes for watchers to come, if there was a look-up that they follow.
func (m *mirror) remember(changes []catalogue.Change) {
	if !m.looked {
		changes = m.mirrors.ofShown(changes)
	}
	if len(changes) == 0 {
		return
	}
	now := time.Now()
	m.replay.dropBefore(now.Add(-replayTime))
	m.replay.push(changes, now, m.catalogue, m.mirrors.exposed.Load())
}

func (m *mirror) tell(w *watcher, changes []catalogue.Change) {
	if w.service != "" {
		var wanted []catalogue.Change
		for _, c := range changes {
			if c.Record.Name == w.service {
				wanted = append(wanted, c)
			}
		}
		changes = wanted
	}
	w.push(changes, m.catalogue, m.mirrors.exposed.Load())
}
