// Package reflector follows what etcd has below a prefix: it lists at a revision, watches from there, and lists again
// when the watch can't go on, from time to time, and when it is asked to. The name is client-go's.
package reflector

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// Handler takes in what a Reflector finds. Its methods are called one at a time, by the goroutine that runs the
// Reflector.
type Handler interface {
	// Listing says that a list begins: what Replace brings next is not older than this moment. ended says why the watch
	// before failed, if it did.
	Listing(ended error)
	// Replace brings all there is.
	Replace(*List)
	// Following says that etcd has confirmed the watch after the list.
	Following()
	// Apply brings events that happened after the last list or event.
	Apply([]*clientv3.Event)
	// Broken says why events may be missing until the next Following. It may come several times in a row.
	Broken(error)
}

// Bounds of the time after which a Reflector lists again even if all seems well.
const (
	minRelist = 5 * time.Minute
	MaxRelist = 10 * time.Minute
)

// Reflector keeps a Handler informed. Make one with New.
type Reflector struct {
	lister  Lister
	handler Handler
	asked   chan reason
	ended   error     // why the last watch failed, if there was no list since
	since   time.Time // when the last watch was confirmed, if there was no list since
}

// reason is why a list is asked for: something is wrong, unless err is nil.
type reason struct{ err error }

// New returns a Reflector of what a Lister lists.
func New(l Lister, h Handler) *Reflector {
	return &Reflector{lister: l, handler: h, asked: make(chan reason, 1)}
}

// Relist makes the Reflector list again. It doesn't block.
func (r *Reflector) Relist() { r.Fail(nil) }

// Fail makes the Reflector treat an error as its own: it tells its Handler, and lists again. It doesn't block.
func (r *Reflector) Fail(err error) {
	select {
	case r.asked <- reason{err}:
	default:
	}
}

// Run follows until ctx ends.
func (r *Reflector) Run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		err := r.follow(ctx)
		switch {
		case err == nil, errors.Is(err, etcdconn.ErrReplaced), errors.Is(err, rpctypes.ErrCompacted) && r.wentWell(retry.Max):
			failures = 0
			continue
		case r.wentWell(retry.Steady):
			failures = 0
		}
		if ctx.Err() != nil {
			return
		}
		failures++
		r.handler.Broken(err)
		retry.Pause(ctx, retry.Backoff(failures, err), r.asked)
	}
}

// wentWell reports whether the last watch lived for longer than d.
func (r *Reflector) wentWell(d time.Duration) bool {
	return !r.since.IsZero() && time.Since(r.since) > d
}

// follow lists and watches. It returns nil when it is time to list again.
func (r *Reflector) follow(ctx context.Context) error {
	r.handler.Listing(r.ended)
	select {
	case <-r.asked: // a list is what it asks for, even if it does since the handler knows of this one
	default:
	}
	r.since = time.Time{}
	all, err := r.lister.List(ctx)
	if err != nil {
		return err
	}
	r.handler.Replace(all)
	r.ended = r.watch(ctx, all.Header.Revision)
	return r.ended
}

// watch takes in events after a revision. It begins at the one after the list's, because a watch from one that etcd has
// already reached is served at intervals of 100 ms at first (server/v3 storage/mvcc/watchable_store.go,
// syncWatchersLoop).
func (r *Reflector) watch(ctx context.Context, after int64) error {
	w, err := r.lister.Etcd.Watch(r.lister.Prefix, after+1)
	if err != nil {
		return err
	}
	defer w.Close()
	relist := time.NewTimer(minRelist + rand.N(MaxRelist-minRelist))
	defer relist.Stop()
	for {
		select {
		case <-w.Ready():
			if err := r.take(w, after); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		case <-relist.C:
			return nil
		case why := <-r.asked:
			return why.err
		}
	}
}

// take takes in what a watch has to say.
func (r *Reflector) take(w Watch, after int64) error {
	events, open, err := w.Take()
	if open && r.since.IsZero() {
		r.since = time.Now()
		r.handler.Following()
	}
	if events = since(after, events); len(events) > 0 {
		r.handler.Apply(events)
	}
	return err
}

// since returns the events after a revision. etcd sends no others, but of another history it might.
func since(after int64, events []*clientv3.Event) []*clientv3.Event {
	for len(events) > 0 && events[0].Kv.ModRevision <= after {
		events = events[1:]
	}
	return events
}
