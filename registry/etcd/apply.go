package etcd

import (
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
)

// This file is how a mirror's catalog changes: by etcd's events, by lists, and by this
// process's own writes, which are there before etcd echoes them. Revisions sort it out:
// for each key, nothing older than what is known counts.

// Apply takes in events, in the order of their revisions.
func (m *mirror) Apply(events []*clientv3.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var changes []catalog.Change
	for _, e := range events {
		changes = append(changes, m.eventLocked(e)...)
		m.mirrors.metrics.Events.Add(metrics.EventType(e.Type))
		m.applied = e.Kv.ModRevision
	}
	m.newest = max(m.newest, m.applied)
	m.publishLocked(changes)
}

// eventLocked takes in one event, unless our own write is newer. It keeps count of junk, so that
// the number of keys can be compared with etcd's.
func (m *mirror) eventLocked(e *clientv3.Event) []catalog.Change {
	key := string(e.Kv.Key)
	known := m.catalog.Record(key)
	if at, ok := m.deleted[key]; ok {
		if e.Kv.ModRevision <= at {
			if e.Kv.ModRevision == at {
				delete(m.deleted, key)
			}
			return nil
		}
		delete(m.deleted, key)
	}
	if known != nil && known.Revision >= e.Kv.ModRevision {
		return nil
	}
	if e.Type == clientv3.EventTypeDelete {
		if known == nil {
			m.junk = max(m.junk-1, 0)
		}
		return m.catalog.Delete(key)
	}
	record := m.decodeLocked(e.Kv)
	switch {
	case record != nil:
		if known == nil && !e.IsCreate() {
			m.junk = max(m.junk-1, 0)
		}
		return m.catalog.Put(record)
	case known != nil || e.IsCreate():
		m.junk++
	}
	return m.catalog.Delete(key)
}

func (m *mirror) decodeLocked(kv *mvccpb.KeyValue) *catalog.Record {
	return m.mirrors.malformed.decode(m.decoder, kv)
}

// Replace takes in a list. What differs from it goes, comes or changes, but for our own writes that are newer. A list
// from before the newest revision that was known when it began, or of another cluster, is of another history, where our
// revisions mean nothing. Whether a record has changed is told by its value: in another history it may have the same
// revision.
func (m *mirror) Replace(all *reflector.List) {
	records, d := m.decodeList(all)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.decoder = d
	at := all.Header.Revision
	other := at < m.floor || m.cluster != 0 && m.cluster != all.Header.ClusterId
	if other {
		clear(m.deleted)
		m.newest = 0
	}
	listed := make(map[string]bool, len(all.Kvs))
	m.junk = 0
	var changes []catalog.Change
	for i, kv := range all.Kvs {
		key := string(kv.Key)
		known := m.catalog.Record(key)
		switch {
		case known != nil && !other && known.Revision > at:
			listed[key] = true
		case m.deleted[key] > at:
		case records[i] == nil:
			m.junk++
		default:
			listed[key] = true
			changes = append(changes, m.catalog.Restate(records[i])...)
		}
	}
	changes = append(changes, m.sweepLocked(listed, at, other)...)
	for key, revision := range m.deleted {
		if revision <= at {
			delete(m.deleted, key)
		}
	}
	m.cluster, m.applied, m.newest = all.Header.ClusterId, at, max(m.newest, at)
	m.finishListLocked(changes)
}

// decodeList decodes a list, nil for what is no record, and returns the decoder to go on with. It doesn't lock the mirror,
// because that may take seconds.
func (m *mirror) decodeList(all *reflector.List) ([]*catalog.Record, *catalog.Decoder) {
	m.mu.Lock()
	d := m.decoder.Clone()
	m.mu.Unlock()
	records := make([]*catalog.Record, len(all.Kvs))
	for i, kv := range all.Kvs {
		records[i] = m.mirrors.malformed.decode(d, kv)
	}
	return records, d
}

// sweepLocked deletes the records that a list didn't have.
func (m *mirror) sweepLocked(listed map[string]bool, at int64, other bool) []catalog.Change {
	var gone []string
	for r := range m.catalog.Records {
		if !listed[r.Key] && (other || r.Revision <= at) {
			gone = append(gone, r.Key)
		}
	}
	var changes []catalog.Change
	for _, key := range gone {
		changes = append(changes, m.catalog.Delete(key)...)
	}
	return changes
}

// finishListLocked publishes what a list changed. Of a first one watchers hear only how it differs from what lookups have
// shown, unless they couldn't wait for it.
func (m *mirror) finishListLocked(changes []catalog.Change) {
	m.mirrors.metrics.Lists.Add(m.cause)
	m.cause = metrics.ListPeriodic
	if m.isReady() {
		m.publishLocked(changes)
		return
	}
	m.noteLocked(changes)
	if len(m.watchers) > 0 {
		shown := m.mirrors.shown.differences(m.prefix, m.catalog)
		for w := range m.watchers {
			m.tellLocked(w, shown)
			if w.fromStart {
				m.tellLocked(w, notIn(changes, shown))
			}
		}
	}
	close(m.ready)
}

// notIn returns the changes of nodes that others don't tell of.
func notIn(changes, others []catalog.Change) []catalog.Change {
	told := make(map[nodeKey]bool, len(others))
	for _, c := range others {
		told[keyOf(c)] = true
	}
	return slices.DeleteFunc(slices.Clone(changes), func(c catalog.Change) bool { return told[keyOf(c)] })
}

// ownPut takes in a record of this process that etcd has taken.
func (m *mirror) ownPut(r *catalog.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.catalog.Record(r.Key)
	if known != nil && known.Revision == r.Revision && known.Lease == r.Lease {
		return
	}
	if lead, ok := m.catalog.Lead(r.Name, r.Version); ok && lead.Profile.Equal(r.Profile) {
		r.Profile = lead.Profile // as a decoder shares it
	}
	odd := m.isOddLocked(known, r.Key, r.Revision)
	delete(m.deleted, r.Key)
	m.publishOwnLocked(odd, m.catalog.Put(r))
}

// ownDelete takes in that etcd has deleted a key for this process.
func (m *mirror) ownDelete(key string, revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.catalog.Record(key)
	odd := m.isOddLocked(known, key, revision)
	switch {
	case known == nil && revision <= m.applied:
		return
	case !odd:
		m.deleted[key] = revision
	}
	m.newest = max(m.newest, revision)
	m.publishOwnLocked(odd, m.catalog.Delete(key))
}

// isOddLocked reports whether a write of ours is older than what the view knows, and isn't in it. Usually etcd's echo
// comes later, and sometimes just before.
func (m *mirror) isOddLocked(known *catalog.Record, key string, revision int64) bool {
	return revision <= m.applied || known != nil && known.Revision >= revision || m.deleted[key] > revision
}

// publishOwnLocked publishes what a write of ours changes. An odd one is a sign that etcd's data were replaced, so that
// its revisions are small again. It is taken in all the same, and the view lists again, which also repairs it if somebody
// else wrote right after us.
func (m *mirror) publishOwnLocked(odd bool, changes []catalog.Change) {
	m.publishLocked(changes)
	if odd {
		m.doubtLocked(metrics.ListHistoryChanged)
	}
}

func (m *mirror) newestRevision() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.newest
}

// takeIn takes in what a linearizable read has found of a service at a revision: what etcd's events will say, if they
// haven't yet. The read began when floor was the newest revision here; an earlier one is of another history.
func (m *mirror) takeIn(name string, found *catalog.Catalog, at, floor int64) {
	if at < floor {
		m.doubt(metrics.ListHistoryChanged)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var changes []catalog.Change
	found.Nodes(name, func(node catalog.Change) bool {
		r := node.Record
		known := m.catalog.Record(r.Key)
		if (known == nil || known.Revision < r.Revision) && m.deleted[r.Key] < r.Revision {
			changes = append(changes, m.catalog.Put(r)...)
		}
		return true
	})
	var gone []string
	m.catalog.Nodes(name, func(node catalog.Change) bool {
		if r := node.Record; r.Revision <= at && found.Record(r.Key) == nil {
			gone = append(gone, r.Key)
		}
		return true
	})
	for _, key := range gone {
		changes = append(changes, m.catalog.Delete(key)...)
		m.deleted[key] = at
	}
	m.publishLocked(changes)
}
