package view

import (
	"time"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// Status is what FollowedStatus of the registry's package says.
type Status struct {
	Prefix                  string
	Ready                   bool
	Nodes, Watchers, Queued int
	Revision                int64
	Stale                   time.Duration
	Err                     error
}

func (v *View) status() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := Status{
		Prefix:   v.Prefix,
		Ready:    v.isReady(),
		Nodes:    v.catalog.Len(),
		Watchers: len(v.watchers),
		Revision: v.newest,
	}
	if since, err := v.staleLocked(); err != nil {
		s.Stale, s.Err = time.Since(since), err
	}
	for w := range v.watchers {
		s.Queued = max(s.Queued, w.queued())
	}
	return s
}

// Records calls yield for each record, in no order, until it returns false. The view is locked meanwhile.
func (v *View) Records(yield func(*catalog.Record) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.catalog.Records(yield)
}

// Record returns the record with a key, or nil.
func (v *View) Record(key string) *catalog.Record {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.catalog.Record(key)
}

// Size returns the number of keys, also of those that are no records, and the revision of the last event that this is
// after.
func (v *View) Size() (keys int, applied int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.catalog.Len() + len(v.malformedKeys), v.applied
}

// IsFollowing reports whether the view is kept up to date, as far as is known.
func (v *View) IsFollowing() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.isReady() && v.broken == nil
}
