package view

import (
	"time"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// Status is what FollowedStatus of the registry's package says.
type Status struct {
	Prefix                  string
	Ready                   bool
	Cached                  time.Time // as of when, if it has only what was on disk; else zero
	Nodes, Watchers, Queued int
	Revision                int64
	Stale                   time.Duration
	Err                     error
}

func (v *View) status() Status {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	s := Status{
		Prefix:   v.Prefix,
		Ready:    v.IsReady(),
		Nodes:    v.Catalog.Len(),
		Revision: v.newest,
	}
	if asOf := v.cached.Load(); asOf != nil {
		s.Cached = *asOf
	}
	if since, err := v.staleLocked(); err != nil {
		s.Stale, s.Err = max(0, time.Since(since)), err // a file may be a little ahead
	}
	s.Watchers, s.Queued = v.WatchersLocked()
	return s
}

// Records calls yield for each record, in no order, until it returns false. The view is locked meanwhile.
func (v *View) Records(yield func(*catalog.Record) bool) {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	v.Catalog.Records(yield)
}

// Record returns the record with a key, or nil.
func (v *View) Record(key string) *catalog.Record {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	return v.Catalog.Record(key)
}

// Size returns the number of keys, also of those that are no records, and the revision of the last event that this is
// after.
func (v *View) Size() (keys int, applied int64) {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	return v.Catalog.Len() + len(v.malformedKeys), v.applied
}

func (v *View) isMalformed(key string) bool {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	return v.malformedKeys[key]
}

// IsFollowing reports whether the view is kept up to date, as far as is known.
func (v *View) IsFollowing() bool {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	return v.IsReady() && !v.IsCached() && v.broken == nil
}
