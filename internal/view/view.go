package view

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/cachefile"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/feed"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// View is the view of a directory of etcd, or of the whole prefix. Its reflector keeps it up to date. Readers and
// watchers never wait for etcd once it is ready.
type View struct {
	*feed.Feed // ready when there is something to show: the first list, or a cache file
	shared     *shared
	reflector  *reflector.Reflector
	Context    context.Context // ends when the cache drops it
	end        context.CancelFunc
	failed     func(*View)   // called when it can't be kept up to date
	listed     chan struct{} // closed after the first list
	replaced   signal.Signal // another client has taken over, whose user may have a file

	used atomic.Int64 // the epoch of the cache in which it was used last

	client atomic.Pointer[etcdconn.Client] // whose events the view lives on, nil before
	stale  atomic.Bool                     // whether broken is set, for lookups
	cached atomic.Pointer[time.Time]       // as of when the view is, if it has only what was in its file
	pages  atomic.Int64                    // that etcd has answered with

	// Under Cache.mu.
	idleFrom time.Time // not used since, for all that the last sweep saw
	waiters  int       // calls that wait for ready
	watching int       // watchers
	names    []string  // under which Cache.byName knows it

	// Under Feed.Mu.
	decoder       *catalog.Decoder
	cluster       uint64
	applied       int64             // all that etcd did up to here is in the catalog
	newest        int64             // the newest revision in it, our own writes included
	deleted       map[string]int64  // our own deletes that etcd hasn't echoed yet, by key
	malformedKeys map[string]bool   // keys that are no records
	floor         int64             // newest when the list under way began
	cause         metrics.ListCause // of the next list
	broken        error             // why it doesn't follow at the moment
	since         time.Time         // of broken
	reported      bool              // that it is broken
	brokenChanged chan struct{}     // closed and renewed by Broken
	generation    int64             // of the connector when the list under way or the last one began
	reader        *etcdconn.Client  // that has read the last list
	unsaved       bool              // it has what isn't in its file
	saved         savedAs
}

func newView(s *shared, prefix string, failed func(*View)) *View {
	v := &View{
		Feed:          feed.New(s.shown, s.Keys.Dir, prefix),
		shared:        s,
		failed:        failed,
		generation:    s.Connector.Generation(),
		listed:        make(chan struct{}),
		replaced:      signal.New(),
		idleFrom:      time.Now(),
		decoder:       catalog.NewDecoder(s.Keys),
		deleted:       make(map[string]int64),
		malformedKeys: make(map[string]bool),
		brokenChanged: make(chan struct{}),
	}
	v.use()
	v.Context, v.end = context.WithCancel(s.Connector.Context)
	lister := s.Lister(prefix, &v.client)
	lister.Progress = func(int, int) { v.pages.Add(1) }
	v.reflector = reflector.New(lister, v)
	return v
}

// Life ends when the cache drops the view.
func (v *View) Life() context.Context { return v.Context }

// use notes that the view is of use. It takes no lock.
func (v *View) use() {
	if now := v.shared.epoch.Load(); v.used.Load() != now {
		v.used.Store(now)
	}
}

// isEmpty reports whether nothing would be lost with the view: it has no list, or no nodes.
func (v *View) isEmpty() bool {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	return !v.IsReady() || v.Catalog.Len() == 0
}

// Relist makes the view list again.
func (v *View) Relist(cause metrics.ListCause) {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	v.relistLocked(cause)
}

func (v *View) relistLocked(cause metrics.ListCause) {
	if v.IsReady() { // the first list needs no other reason
		v.cause = cause
	}
	v.reflector.Relist()
}

// clientChanged makes the view list again from another client, unless it has begun to. What the one before had against
// it counts no more.
func (v *View) clientChanged() {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	if !v.isOutdatedLocked() {
		return
	}
	if !v.IsReady() {
		v.broken = nil
		v.replaced.Send()
	}
	v.relistLocked(metrics.ListClientReplaced)
}

// isOutdatedLocked reports whether the client was replaced after the list under way, or the last one, began.
func (v *View) isOutdatedLocked() bool { return v.generation != v.shared.Connector.Generation() }

// Listing notes what is known now, and why there is another list.
func (v *View) Listing(ended error) {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	v.floor, v.generation = v.newest, v.shared.Connector.Generation()
	if ended != nil && v.cause == metrics.ListPeriodic {
		v.cause = causeOf(ended)
	}
}

// causeOf says why a view is listed whose watch has ended.
func causeOf(err error) metrics.ListCause {
	switch {
	case errors.Is(err, rpctypes.ErrCompacted):
		return metrics.ListCompacted
	case errors.Is(err, etcdconn.ErrReplaced):
		return metrics.ListClientReplaced
	}
	return metrics.ListWatchEnded
}

// Following notes that the view is kept up to date. A list alone doesn't do that: etcd may refuse the watch after it.
func (v *View) Following() {
	v.Mu.Lock()
	again := v.broken != nil && v.reported
	v.broken, v.reported = nil, false
	v.stale.Store(false)
	v.Mu.Unlock()
	if again {
		v.shared.Changed()
	}
}

// Broken notes that the view can't be kept up to date at the moment.
func (v *View) Broken(err error) {
	v.Mu.Lock()
	if v.isOutdatedLocked() {
		v.Mu.Unlock()
		return
	}
	if v.broken == nil {
		v.since = time.Now()
	}
	v.broken = err
	v.stale.Store(true)
	first := v.IsReady() && !v.reported
	v.reported = v.reported || first
	close(v.brokenChanged)
	v.brokenChanged = make(chan struct{})
	v.Mu.Unlock()
	if first {
		v.shared.Changed()
	}
	v.failed(v)
}

var errUnanswered = errors.New("etcd hasn't answered yet")

// staleLocked says since when and why the view isn't kept up to date, if so.
func (v *View) staleLocked() (since time.Time, err error) {
	if asOf := v.cached.Load(); asOf != nil {
		return *asOf, cmp.Or(v.broken, errUnanswered)
	}
	if v.broken != nil {
		return v.since, v.broken
	}
	if cl := v.client.Load(); cl != nil {
		if down := cl.DownSince(); !down.IsZero() {
			return down, etcdconn.ErrDisconnected
		}
	}
	return time.Time{}, nil
}

// source says what an existing view answers lookups from. It takes no lock.
func (v *View) source() metrics.Source {
	if v.IsCached() {
		return metrics.SourceCached
	}
	if cl := v.client.Load(); v.stale.Load() || cl != nil && cl.IsDown() {
		return metrics.SourceStale
	}
	return metrics.SourceLocal
}

// firstSource is source where there may be no view yet.
func (v *View) firstSource() metrics.Source {
	if !v.IsReady() {
		return metrics.SourceRemote
	}
	return v.source()
}

// IsCached reports whether the view has only what was in its file. It takes no lock. After the first list a view is
// never cached again.
func (v *View) IsCached() bool { return v.cached.Load() != nil }

// savedAs is what a view's file has.
type savedAs struct {
	dir  cachefile.Dir
	asOf time.Time
}

// setUnsaved has what couldn't be written tried again.
func (v *View) setUnsaved() {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	v.setUnsavedLocked()
}

// setUnsavedLocked notes that the view has what isn't in its file.
func (v *View) setUnsavedLocked() {
	v.unsaved = true
	v.shared.Saver.Unsaved.Send()
}
