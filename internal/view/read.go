package view

import (
	"context"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcderr"
)

// This file is what others get of a view: lookups a snapshot, and watchers what changes.

// await waits until the view is ready. It gives up when ctx ends, and at once when etcd itself says no.
func (v *View) await(ctx context.Context) error {
	for {
		v.mu.Lock()
		broken, failed := v.broken, v.brokenChanged
		v.mu.Unlock()
		if !v.isReady() && etcderr.IsAnswer(broken) {
			return broken
		}
		select {
		case <-v.ready:
			return nil
		case <-failed:
		case <-ctx.Done():
			return v.shared.Connector.Failure(ctx, context.Cause(ctx))
		}
	}
}

// failedFirst reports whether a first list has failed, and none has succeeded.
func (v *View) failedFirst() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.broken != nil && !v.isReady()
}

// Snapshot returns the service as it is known now, or nil.
func (v *View) Snapshot(name string) *catalog.Snapshot {
	v.use()
	if s, ok := v.snapshots.Load(name); ok {
		return s.(*catalog.Snapshot)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if s, ok := v.snapshots.Load(name); ok {
		return s.(*catalog.Snapshot)
	}
	s := v.catalog.Snapshot(name)
	keeps := s != nil && !v.dropped
	v.shared.shown.look(name, v.shared.Keys.Dir(name), v.catalog, v, keeps)
	if keeps {
		v.snapshots.Store(name, s)
	}
	return s
}

// all returns every service as it is known now.
func (v *View) all() []*catalog.Snapshot {
	v.use()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shared.shown.lookWhole(v.shared.Keys, v.catalog, v)
	return v.catalog.Snapshots()
}

// drop ends what the view shows.
func (v *View) drop() {
	v.end()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dropped = true
	v.snapshots.Range(func(name, _ any) bool {
		v.hideLocked(name.(string))
		return true
	})
}

// hideLocked ends what Snapshot has begun: what it returned isn't returned any more.
func (v *View) hideLocked(name string) {
	if _, ok := v.snapshots.LoadAndDelete(name); ok {
		v.shared.shown.release(name)
	}
}

// attach makes a watcher hear of every change from now on, and before that of those since the lookups of the last
// minute. If there is no list yet, that comes with it.
func (v *View) attach(w *Watcher) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.watchers[w] = false
	if v.isReady() {
		v.deliverLocked(w, v.shared.shown.differences(v.Prefix, v.catalog))
	}
}

func (v *View) detach(w *Watcher) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.watchers, w)
}

// deliverInitial marks a watcher whose Watch couldn't wait for the first list.
func (v *View) deliverInitial(w *Watcher) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, attached := v.watchers[w]; attached && !v.isReady() {
		v.watchers[w] = true
	}
}

// publishLocked hands changes to readers and watchers.
func (v *View) publishLocked(changes []catalog.Change) {
	if len(changes) == 0 {
		return
	}
	v.invalidateLocked(changes)
	v.setUnsavedLocked()
	for w := range v.watchers {
		v.deliverLocked(w, changes)
	}
}

// invalidateLocked makes changes visible to lookups.
func (v *View) invalidateLocked(changes []catalog.Change) {
	for _, c := range changes {
		v.hideLocked(c.Record.Name)
		v.newest = max(v.newest, c.Record.Revision)
	}
	v.shared.shown.follow(v, changes)
}

func (v *View) deliverLocked(w *Watcher, changes []catalog.Change) {
	if w.service != "" {
		var wanted []catalog.Change
		for _, c := range changes {
			if c.Record.Name == w.service {
				wanted = append(wanted, c)
			}
		}
		changes = wanted
	}
	w.push(changes, v.catalog, v.shared.shown.seen)
}
