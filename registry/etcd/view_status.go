package etcd

import (
	"time"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// viewStatus is what FollowedStatus of the registry's package says.
type viewStatus struct {
	Prefix                  string
	Ready                   bool
	Nodes, Watchers, Queued int
	Revision                int64
	Stale                   time.Duration
	Err                     error
}

func (m *mirror) status() viewStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := viewStatus{
		Prefix:   m.prefix,
		Ready:    m.isReady(),
		Nodes:    m.catalog.Len(),
		Watchers: len(m.watchers),
		Revision: m.newest,
	}
	if since, err := m.staleLocked(); err != nil {
		s.Stale, s.Err = time.Since(since), err
	}
	for w := range m.watchers {
		s.Queued = max(s.Queued, w.queued())
	}
	return s
}

// records calls yield for each record, in no order, until it returns false. The mirror is locked meanwhile.
func (m *mirror) records(yield func(*catalog.Record) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.catalog.Records(yield)
}

// record returns the record with a key, or nil.
func (m *mirror) record(key string) *catalog.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.catalog.Record(key)
}

// size returns the number of keys, also of those that are no records, and the revision of the last event that this is
// after.
func (m *mirror) size() (keys int, applied int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.catalog.Len() + m.junk, m.applied
}

// isFollowing reports whether the view is kept up to date, as far as is known.
func (m *mirror) isFollowing() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isReady() && m.broken == nil
}
