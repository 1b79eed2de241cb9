package view

import (
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// This file is how a view's catalog changes: by etcd's events, by lists, and by this process's own writes, which are
// there before etcd echoes them. Revisions sort it out: for each key, nothing older than what is known counts.

// Apply takes in events, in the order of their revisions.
func (v *View) Apply(events []*clientv3.Event) {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	var changes []catalog.Change
	for _, e := range events {
		changes = append(changes, v.eventLocked(e)...)
		v.shared.metrics.Events.Add(metrics.EventType(e.Type))
		v.applied = e.Kv.ModRevision
	}
	v.newest = max(v.newest, v.applied)
	v.publishLocked(changes)
}

// eventLocked takes in one event, unless our own write is newer. It keeps in mind which keys are malformed, so that the
// number of keys can be compared with etcd's.
func (v *View) eventLocked(e *clientv3.Event) []catalog.Change {
	key := string(e.Kv.Key)
	known := v.Catalog.Record(key)
	if at, ok := v.deleted[key]; ok {
		if e.Kv.ModRevision <= at {
			if e.Kv.ModRevision == at {
				delete(v.deleted, key)
			}
			return nil
		}
		delete(v.deleted, key)
	}
	if known != nil && known.Revision >= e.Kv.ModRevision {
		return nil
	}
	if e.Type == clientv3.EventTypeDelete {
		return v.deleteLocked(key)
	}
	if record := v.decodeLocked(e.Kv); record != nil {
		return v.putLocked(record)
	}
	changes := v.deleteLocked(key)
	v.malformedKeys[key] = true
	return changes
}

func (v *View) putLocked(r *catalog.Record) []catalog.Change {
	delete(v.malformedKeys, r.Key)
	return v.Catalog.Put(r)
}

func (v *View) deleteLocked(key string) []catalog.Change {
	delete(v.malformedKeys, key)
	return v.Catalog.Delete(key)
}

func (v *View) decodeLocked(kv *mvccpb.KeyValue) *catalog.Record {
	return v.shared.Malformed.Decode(v.decoder, kv)
}

// Replace takes in a list. What differs from it goes, comes or changes, but for our own writes that are newer. A list
// from before the newest revision that was known when it began, or of another cluster, is of another history, where our
// revisions mean nothing. Whether a record has changed is told by its value: in another history it may have the same
// revision.
func (v *View) Replace(all *reflector.List) {
	records, d := v.decodeList(all)
	v.Mu.Lock()
	wasCached := v.IsCached()
	v.replaceLocked(all, records, d)
	v.Mu.Unlock()
	if wasCached {
		v.shared.Changed()
	}
}

func (v *View) replaceLocked(all *reflector.List, records []*catalog.Record, d *catalog.Decoder) {
	v.decoder = d
	at := all.Header.Revision
	other := at < v.floor || v.cluster != 0 && v.cluster != all.Header.ClusterId
	if other {
		clear(v.deleted)
		v.newest = 0
	}
	listed := make(map[string]bool, len(all.Kvs))
	clear(v.malformedKeys)
	var changes []catalog.Change
	for i, kv := range all.Kvs {
		key := string(kv.Key)
		known := v.Catalog.Record(key)
		switch {
		case known != nil && !other && known.Revision > at:
			listed[key] = true
		case v.deleted[key] > at:
		case records[i] == nil:
			v.malformedKeys[key] = true
		default:
			listed[key] = true
			changes = append(changes, v.Catalog.Restate(records[i])...)
		}
	}
	changes = append(changes, v.sweepLocked(listed, at, other)...)
	for key, revision := range v.deleted {
		if revision <= at {
			delete(v.deleted, key)
		}
	}
	v.cluster, v.applied, v.newest = all.Header.ClusterId, at, max(v.newest, at)
	v.reader = v.client.Load()
	v.finishListLocked(changes)
}

// decodeList decodes a list, nil for what is no record, and returns the decoder to go on with. It doesn't lock the
// view, because that may take seconds.
func (v *View) decodeList(all *reflector.List) ([]*catalog.Record, *catalog.Decoder) {
	v.Mu.Lock()
	d := v.decoder.Clone()
	v.Mu.Unlock()
	records := make([]*catalog.Record, len(all.Kvs))
	for i, kv := range all.Kvs {
		records[i] = v.shared.Malformed.Decode(d, kv)
	}
	return records, d
}

// sweepLocked deletes the records that a list didn't have.
func (v *View) sweepLocked(listed map[string]bool, at int64, other bool) []catalog.Change {
	var gone []string
	for r := range v.Catalog.Records {
		if !listed[r.Key] && (other || r.Revision <= at) {
			gone = append(gone, r.Key)
		}
	}
	var changes []catalog.Change
	for _, key := range gone {
		changes = append(changes, v.Catalog.Delete(key)...)
	}
	return changes
}

// finishListLocked publishes what a list changed.
func (v *View) finishListLocked(changes []catalog.Change) {
	v.shared.metrics.Lists.Add(v.cause)
	v.cause = metrics.ListPeriodic
	v.noteLocked(changes)
	v.PublishLocked(changes)
	v.setUnsavedLocked()
	v.cached.Store(nil) // after what it had was replaced: who finds a view that isn't cached finds nothing of it
	if !signal.IsClosed(v.listed) {
		close(v.listed)
	}
}

// ownPut takes in a record of this process that etcd has taken.
func (v *View) ownPut(r *catalog.Record) {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	known := v.Catalog.Record(r.Key)
	if known != nil && known.Revision == r.Revision && known.Lease == r.Lease {
		return
	}
	if lead, ok := v.Catalog.Lead(r.Name, r.Version); ok && lead.Profile.Equal(r.Profile) {
		r.Profile = lead.Profile // as a decoder shares it
	}
	outOfOrder := v.isOutOfOrderLocked(known, r.Key, r.Revision)
	delete(v.deleted, r.Key)
	v.publishOwnLocked(outOfOrder, v.putLocked(r))
}

// ownDelete takes in that etcd has deleted a key for this process.
func (v *View) ownDelete(key string, revision int64) {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	known := v.Catalog.Record(key)
	outOfOrder := v.isOutOfOrderLocked(known, key, revision)
	switch {
	case known == nil && revision <= v.applied:
		return
	case !outOfOrder:
		v.deleted[key] = revision
	}
	v.newest = max(v.newest, revision)
	v.publishOwnLocked(outOfOrder, v.deleteLocked(key))
}

// isOutOfOrderLocked reports whether a write of ours is older than what the view knows, and isn't in it. Usually etcd's
// echo comes later, and sometimes just before.
func (v *View) isOutOfOrderLocked(known *catalog.Record, key string, revision int64) bool {
	return revision <= v.applied || known != nil && known.Revision >= revision || v.deleted[key] > revision
}

// publishOwnLocked publishes what a write of ours changes. One that is out of order is a sign that etcd's data were
// replaced, so that its revisions are small again. It is taken in all the same, and the view lists again, which also
// repairs it if somebody else wrote right after us.
func (v *View) publishOwnLocked(outOfOrder bool, changes []catalog.Change) {
	v.publishLocked(changes)
	if outOfOrder {
		v.relistLocked(metrics.ListHistoryChanged)
	}
}

func (v *View) newestRevision() int64 {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	return v.newest
}

// merge takes in what a linearizable read has found of a service at a revision: what etcd's events will say, if they
// haven't yet. The read began when floor was the newest revision here; an earlier one is of another history.
func (v *View) merge(name string, found *catalog.Catalog, at, floor int64) {
	if at < floor {
		v.Relist(metrics.ListHistoryChanged)
		return
	}
	v.Mu.Lock()
	defer v.Mu.Unlock()
	var changes []catalog.Change
	found.Nodes(name, func(node catalog.Change) bool {
		r := node.Record
		known := v.Catalog.Record(r.Key)
		if (known == nil || known.Revision < r.Revision) && v.deleted[r.Key] < r.Revision {
			changes = append(changes, v.putLocked(r)...)
		}
		return true
	})
	var gone []string
	v.Catalog.Nodes(name, func(node catalog.Change) bool {
		if r := node.Record; r.Revision <= at && found.Record(r.Key) == nil {
			gone = append(gone, r.Key)
		}
		return true
	})
	for _, key := range gone {
		changes = append(changes, v.deleteLocked(key)...)
		v.deleted[key] = at
	}
	v.publishLocked(changes)
}
