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

	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// Etcd is what a Reflector reads and watches. Requests should require a leader: a member without one keeps them until
// their deadline, and confirms watches that stay silent.
type Etcd interface {
	// Get reads within the deadline of ctx.
	Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error)
	// Watch sends a response without events when etcd has confirmed the watch, and then the events below a prefix from a
	// revision on, in their order. When it can't go on, the last response has an error, and the channel is closed. It is
	// also closed when ctx ends. Watch itself doesn't block. The channel is read until it is closed.
	Watch(ctx context.Context, prefix string, from int64) <-chan WatchResponse
}

// WatchResponse is a batch of events, or why there are no more.
type WatchResponse struct {
	Events []*clientv3.Event
	Err    error
}

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

// ErrReplaced is an error of an Etcd that now reads from another etcd than before, so that a list may be had at once.
var ErrReplaced = errors.New("etcd client was replaced")

var errWatchEnded = errors.New("watch ended without a reason")

// Bounds of the time after which a Reflector lists again even if all seems well.
const (
	MinRelist = 5 * time.Minute
	MaxRelist = 10 * time.Minute
)

// steadyTime is how long a watch must have gone well to count as health.
const steadyTime = 10 * time.Second

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
	l.limit = firstPage
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
		case err == nil, errors.Is(err, ErrReplaced), errors.Is(err, rpctypes.ErrCompacted) && r.wentWell(retry.Max):
			failures = 0
			continue
		case r.wentWell(steadyTime):
			failures = 0
		}
		if ctx.Err() != nil {
			return
		}
		failures++
		r.handler.Broken(err)
		r.pause(ctx, retry.Backoff(failures, err))
	}
}

// wentWell reports whether the last watch lived for longer than d.
func (r *Reflector) wentWell(d time.Duration) bool {
	return !r.since.IsZero() && time.Since(r.since) > d
}

// pause waits for d, unless a list is asked for.
func (r *Reflector) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.asked:
	case <-ctx.Done():
	}
}

// follow lists and watches. It returns nil when it is time to list again.
func (r *Reflector) follow(ctx context.Context) error {
	select {
	case <-r.asked: // a list is what it asks for
	default:
	}
	r.handler.Listing(r.ended)
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
	ctx, cancel := context.WithCancel(ctx)
	responses := r.lister.Etcd.Watch(ctx, r.lister.Prefix, after+1)
	defer func() {
		cancel()
		for range responses { // until it has ended
		}
	}()
	relist := time.NewTimer(MinRelist + rand.N(MaxRelist-MinRelist))
	defer relist.Stop()
	for {
		select {
		case response, ok := <-responses:
			switch {
			case !ok:
				return errWatchEnded
			case response.Err != nil:
				return response.Err
			case len(response.Events) > 0:
				r.handler.Apply(since(after, response.Events))
			case r.since.IsZero():
				r.since = time.Now()
				r.handler.Following()
			}
		case <-relist.C:
			return nil
		case why := <-r.asked:
			return why.err
		}
	}
}

// since returns the events after a revision. etcd sends no others, but of another history it might.
func since(after int64, events []*clientv3.Event) []*clientv3.Event {
	for len(events) > 0 && events[0].Kv.ModRevision <= after {
		events = events[1:]
	}
	return events
}
