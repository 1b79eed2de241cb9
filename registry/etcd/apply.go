package etcd

import (
	"iter"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// This file is how a mirror's catalogue changes: by etcd's events, by lists, and by this
// process's own writes, which are there before etcd echoes them. Revisions sort it out:
// for each key, nothing older than what is known counts.

// apply takes in the events after a revision. A watch delivers them in the order of their revisions.
func (m *mirror) apply(events []*clientv3.Event, after int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var changes []catalogue.Change
	for _, e := range events {
		if e.Kv.ModRevision > after {
			changes = append(changes, m.event(e)...)
			m.mirrors.metrics.events.add(eventType(e.Type))
			m.applied = e.Kv.ModRevision
		}
	}
	m.newest = max(m.newest, m.applied)
	m.publish(changes)
}

// event takes in one event, unless our own write is newer. It keeps count of junk, so that
// the number of keys can be compared with etcd's.
func (m *mirror) event(e *clientv3.Event) []catalogue.Change {
	key := string(e.Kv.Key)
	known := m.catalogue.Record(key)
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
		return m.catalogue.Delete(key)
	}
	record := m.decode(e.Kv)
	switch {
	case record != nil:
		if known == nil && !e.IsCreate() {
			m.junk = max(m.junk-1, 0)
		}
		return m.catalogue.Put(record)
	case known != nil || e.IsCreate():
		m.junk++
	}
	return m.catalogue.Delete(key)
}

func (m *mirror) decode(kv *mvccpb.KeyValue) *catalogue.Record {
	return m.mirrors.malformed.decode(m.decoder, kv)
}

// replace takes in a list that was begun when floor was the newest revision known, and after some doubts. What
// differs from it goes, comes or changes, but for our own writes that are newer. A list from
// before floor, or of another cluster, is of another history, where our revisions mean nothing. It may be so too
// when there was a sign of that; then only what was written since floor is newer.
func (m *mirror) replace(all *listing, floor int64, doubts int) {
	decoded, d := m.predecode(all)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.decoder = d
	at := all.header.Revision
	other := at < floor || m.cluster != 0 && m.cluster != all.header.ClusterId
	suspect := m.settled < m.doubts || other
	m.settled = doubts
	if suspect {
		m.mirrors.exposed.raise(m.newest) // it can't be compared with what comes
	}
	if other {
		clear(m.deleted)
		m.newest = 0
	}
	listed, fresh := m.compare(all, decoded, other, suspect)
	var changes []catalogue.Change
	for _, record := range fresh {
		changes = append(changes, m.catalogue.Restate(record)...)
	}
	changes = append(changes, m.sweep(listed, at, other)...)
	for key, revision := range m.deleted {
		if revision <= at {
			delete(m.deleted, key)
		}
	}
	m.cluster, m.applied, m.newest = all.header.ClusterId, at, max(m.newest, at)
	m.finishList(changes)
}

// compare returns the keys at which a list has records, and which of these aren't known. It counts junk.
func (m *mirror) compare(all *listing, decoded map[int]*catalogue.Record, other, suspect bool) (listed map[string]bool, fresh []*catalogue.Record) {
	at := all.header.Revision
	listed = make(map[string]bool, len(all.kvs))
	m.junk = 0
	for i, kv := range all.kvs {
		listed[string(kv.Key)] = true
		known := m.catalogue.Record(string(kv.Key))
		if known != nil && (!other && known.Revision > at || !suspect && lastWriting(known).is(kv)) {
			continue
		}
		if m.deleted[string(kv.Key)] > at {
			continue
		}
		record, ok := decoded[i]
		if !ok {
			record = m.decode(kv)
		}
		if record != nil {
			fresh = append(fresh, record)
			continue
		}
		m.junk++
		delete(listed, string(kv.Key))
	}
	return listed, fresh
}

// predecode decodes what is likely to be news of a list, while nobody waits for the mirror: that may take seconds.
func (m *mirror) predecode(all *listing) (map[int]*catalogue.Record, *decoder) {
	decoded := make(map[int]*catalogue.Record)
	m.mu.Lock()
	d := m.decoder.clone()
	for i, kv := range all.kvs {
		if known := m.catalogue.Record(string(kv.Key)); known == nil || m.settled < m.doubts || !lastWriting(known).is(kv) {
			decoded[i] = nil
		}
	}
	m.mu.Unlock()
	for i := range decoded {
		decoded[i] = m.mirrors.malformed.decode(d, all.kvs[i])
	}
	return decoded, d
}

// sweep deletes the records that a list didn't have.
func (m *mirror) sweep(listed map[string]bool, at int64, other bool) []catalogue.Change {
	var gone []string
	for r := range m.catalogue.Records {
		if !listed[r.Key] && (other || r.Revision <= at) {
			gone = append(gone, r.Key)
		}
	}
	var changes []catalogue.Change
	for _, key := range gone {
		changes = append(changes, m.catalogue.Delete(key)...)
	}
	return changes
}

// finishList publishes what a list changed. Of the first one, that is news only to watchers
// that couldn't wait for it, and where an older view was shown to somebody.
func (m *mirror) finishList(changes []catalogue.Change) {
	if m.broken != nil && m.isReady() {
		m.mirrors.log.infof("following %.300q again", m.prefix)
	}
	m.broken = nil
	m.behind.Store(false)
	m.mirrors.metrics.lists.add(m.cause)
	if m.isReady() {
		m.publish(changes)
		return
	}
	var news []catalogue.Change
	for _, c := range changes {
		if m.seeded[m.mirrors.keys.prefix] || m.seeded[m.mirrors.keys.dirOf(c.Record.Key)] {
			news = append(news, c)
		}
	}
	m.note(changes)
	m.remember(news)
	for w := range m.watchers {
		if w.fromStart {
			m.tell(w, changes)
		} else {
			m.tell(w, news)
		}
	}
	m.seeded = nil
	close(m.ready)
}

// seed gives a new mirror what a look-up was shown of another prefix, so that its first list
// is a difference to that.
func (m *mirror) seed(prefix string, records iter.Seq[*catalogue.Record], replay []entry) {
	m.claim(prefix)
	for r := range records {
		if strings.HasPrefix(r.Key, m.prefix) {
			m.note(m.catalogue.Put(r))
		}
	}
	for _, e := range replay {
		if strings.HasPrefix(e.change.Record.Key, m.prefix) {
			m.replay.items = append(m.replay.items, e)
		}
	}
}

// claim notes that a look-up was shown a prefix, so that what the first list says of it is news.
func (m *mirror) claim(prefix string) {
	if m.seeded == nil {
		m.seeded = make(map[string]bool)
	}
	m.seeded[prefix] = true
	m.looked = m.looked || !m.whole()
}

// wrote takes in a write of this process that etcd has acknowledged. A nil value is a delete.
func (m *mirror) wrote(key string, w writing, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	revision := w.revision
	known := m.catalogue.Record(key)
	if revision <= m.applied || known != nil && known.Revision >= revision || m.deleted[key] >= revision {
		return
	}
	if value == nil {
		m.deleted[key] = revision
		m.newest = max(m.newest, revision)
		m.publish(m.catalogue.Delete(key))
		return
	}
	delete(m.deleted, key)
	if record := m.decode(&mvccpb.KeyValue{Key: []byte(key), ModRevision: revision, Lease: w.lease, Value: value}); record != nil {
		m.publish(m.catalogue.Put(record))
	}
}
