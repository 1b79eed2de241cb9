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
		v.Mu.Lock()
		broken, failed := v.broken, v.brokenChanged
		v.Mu.Unlock()
		if !v.IsReady() && etcderr.IsAnswer(broken) {
			return broken
		}
		select {
		case <-v.Ready:
			return nil
		case <-failed:
		case <-ctx.Done():
			return v.shared.Connector.Failure(ctx, context.Cause(ctx))
		}
	}
}

// failedFirst reports whether a first list has failed, and none has succeeded.
func (v *View) failedFirst() bool {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	return v.broken != nil && !v.IsReady()
}

// Snapshot returns the service as it is known now, or nil.
func (v *View) Snapshot(name string) *catalog.Snapshot {
	v.use()
	return v.Feed.Snapshot(name)
}

// all returns every service as it is known now.
func (v *View) all() []*catalog.Snapshot {
	v.use()
	return v.All()
}

// drop ends what the view shows.
func (v *View) drop() {
	v.end()
	v.End()
}

// publishLocked hands changes to readers and watchers.
func (v *View) publishLocked(changes []catalog.Change) {
	if len(changes) == 0 {
		return
	}
	v.noteLocked(changes)
	v.PublishLocked(changes)
	v.setUnsavedLocked()
}

// noteLocked takes note of the newest revision.
func (v *View) noteLocked(changes []catalog.Change) {
	for _, c := range changes {
		v.newest = max(v.newest, c.Record.Revision)
	}
}
