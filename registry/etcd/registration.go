package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
)

// wish is what the owner of a key wants to be there. It doesn't change once it was set.
type wish struct {
	number  int             // of the key's wishes
	name    string          // of the service
	record  *catalog.Record // nil: nothing of ours
	value   []byte          // the record encoded
	seconds int64           // TTL

	refused error // why etcd will never take it; under the registration's mu
}

func (w *wish) equal(o *wish) bool {
	return w.record != nil && o.record != nil && w.seconds == o.seconds && w.record.Equal(o.record)
}

// holder says who has a key, as far as etcd told.
type holder int

const (
	unknown holder = iota // nobody told, or what was told is out of date
	ours                  // our value, on our lease
	foreign               // somebody else's record: we stand by
)

// registration makes etcd agree with the wish for one key, until nothing is wished for and nothing is there.
//
//	            put, or the key is ours already
//	unknown ───────────────────────────────────► ours ──┐
//	  ▲  │                                        │     │ event: deleted, overwritten by junk;
//	  │  └── somebody else has it ──► foreign     │     │ lease lost; watch ended; doubt
//	  └──────────────────────────────────┴────────┴─────┘
//
// One goroutine does all requests of a key one after the other, so that a Deregister never
// overtakes a put in flight. This file is what callers see of it; reconcile.go is what it does.
type registration struct {
	registrar *registrar
	key       string
	wake      chan struct{}

	// Only for the goroutine.
	former  bool // made only to remove what an earlier registration may have left at the key
	decoder *catalog.Decoder
	retired []*lease        // that the key hung on before
	from    int64           // the revision to watch the key from
	watch   *etcdconn.Watch // nil for none

	orphans []int64 // ids of leases that may have been granted without our knowing, the newest ones

	mu         sync.Mutex
	wish       *wish
	wishes     int                  // so far
	applied    *wish                // the last one that etcd took; nil before
	err        error                // why the wish isn't fulfilled; nil while there is hope
	watchErr   error                // why the key can't be watched; nil once it is
	holder     holder               // of the key
	cause      metrics.RestoreCause // why the holder isn't known, or wasn't the last time
	revision   int64                // at which the key was last written, as far as is known
	rolledBack bool                 // etcd's data may be others than they were
	lease      *lease               // what the key hangs on; only the goroutine changes it
	abort      context.CancelFunc   // of the round under way
	changed    chan struct{}        // closed and renewed when something of the above changes
}

func newRegistration(r *registrar, key string) *registration {
	return &registration{
		registrar: r,
		key:       key,
		wake:      make(chan struct{}, 1),
		decoder:   catalog.NewDecoder(r.keys),
		wish:      &wish{},
		abort:     func() {},
		changed:   make(chan struct{}),
	}
}

// repeated returns the present wish if that is what is offered, else nil.
func (g *registration) repeated(node int, o offer, seconds int64) *wish {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w := g.wish; w.record != nil && w.seconds == seconds && o.same(w.record, node) {
		return w
	}
	return nil
}

// pending is a wish that was set, or the one it repeats, and what became of it if nobody need wait for that.
type pending struct {
	key     string
	settled bool
	err     error

	registration *registration
	wish         *wish
}

// await waits for what becomes of the wish.
func (p pending) await(ctx context.Context) error {
	if p.settled {
		return p.err
	}
	return p.registration.await(ctx, p.wish)
}

// set records a wish. One that repeats the present one is settled with nil if etcd has taken that, connected or not:
// from an error go-micro's server would learn nothing that Status doesn't tell, and wait where it can't be stopped
// (server/rpc_server.go, Start). Else it is settled with the error that stands, if any.
func (g *registration) set(w *wish) pending {
	g.mu.Lock()
	defer g.mu.Unlock()
	if own := g.wish.record; own != nil && own.Name != w.name {
		return pending{key: g.key, settled: true, err: fmt.Errorf("%w: in use by service %q, which shares a directory with %q", ErrNodeID, own.Name, w.name)}
	}
	if !w.equal(g.wish) && (w.record != nil || g.wish.record != nil) {
		return g.replaceLocked(w)
	}
	switch {
	case g.wish.record != nil && g.applied == g.wish:
		return pending{key: g.key, settled: true}
	case g.err != nil:
		return pending{key: g.key, settled: true, err: g.err}
	}
	g.poke()
	return pending{key: g.key, registration: g, wish: g.wish}
}

func (g *registration) replaceLocked(w *wish) pending {
	if w.record != nil {
		var err error
		if w.value, err = catalog.Encode(w.record); err != nil {
			return pending{key: g.key, settled: true, err: err}
		}
	}
	g.wishes++
	w.number = g.wishes
	g.wish, g.err = w, nil
	g.announceLocked()
	g.abort()
	g.poke()
	return pending{key: g.key, registration: g, wish: w}
}

// leave wishes for nothing of ours, and asks etcd once more if that has failed before: it may be back.
func (g *registration) leave() pending {
	g.mu.Lock()
	g.err = nil
	name := g.wish.name
	g.mu.Unlock()
	return g.set(&wish{name: name})
}

func (g *registration) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// announceLocked wakes everybody who waits for a change.
func (g *registration) announceLocked() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// errReplacedWish says that a record was replaced by one that etcd never took.
var errReplacedWish = errors.New("replaced meanwhile by a record that was refused")

// await waits until etcd has taken the wish, or a newer one of this process, or will not.
func (g *registration) await(ctx context.Context, w *wish) error {
	for {
		g.mu.Lock()
		now, err, changed, refused := g.wish, g.err, g.changed, w.refused
		taken := g.applied != nil && g.applied.number >= w.number
		g.mu.Unlock()
		withdrawn := w.record != nil && now.number > w.number && now.record == nil
		switch {
		case refused != nil:
			return refused
		case taken || w.record == nil && now.number > w.number:
			return nil
		case withdrawn && g.registrar.isClosed():
			return ErrClosed
		case withdrawn:
			return ErrWithdrawn
		case now.number < w.number:
			return errReplacedWish
		case etcdconn.IsAnswer(err):
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if err == nil {
				err = g.missed(w, g.registrar.connector.Failure(ctx, context.Cause(ctx)))
			}
			return err
		}
	}
}

// missed notes that a caller was told that the wish isn't fulfilled: whoever repeats it needn't wait as long again.
func (g *registration) missed(w *wish, err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wish == w && g.applied != w && g.err == nil {
		g.err = err
		g.registrar.changed()
	}
	return err
}

// doubt makes the goroutine look at etcd again because its data may be others: then
// the watch may wait for a revision that is far away, and the lease be gone without a word.
func (g *registration) doubt(cause metrics.RestoreCause) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.invalidateLocked(cause)
	g.rolledBack = true
	g.poke()
}

// retry is doubt after which errors before count no more: etcd is another one, or we are to it.
func (g *registration) retry() {
	g.doubt(metrics.RestoreClientReplaced)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = nil
	g.abort()
}

// invalidate makes the next round look at etcd.
func (g *registration) invalidate(cause metrics.RestoreCause) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.invalidateLocked(cause)
}

func (g *registration) invalidateLocked(cause metrics.RestoreCause) {
	if g.holder != unknown {
		g.cause = cause
	}
	g.holder, g.cause = unknown, max(g.cause, cause)
}

// setCause notes why the key has to be looked at, although nothing is known to be wrong with it.
func (g *registration) setCause(cause metrics.RestoreCause) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holder != unknown {
		g.cause = cause
	}
}

// restored notes that the record had to be put back.
func (g *registration) restored() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.registrar.metrics.Reregistrations.Add(g.cause)
}

// found records who has the key, written at a revision, as etcd answered.
func (g *registration) found(h holder, revision int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.foundLocked(h, revision)
}

// acknowledged is found for a write of ours, which within a history has a revision of its own.
func (g *registration) acknowledged(revision int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if revision == g.revision {
		g.registrar.rolled()
	}
	g.foundLocked(ours, revision)
}

// foundLocked: a revision before what was known comes from another history: a wiped data
// directory, a restored snapshot, another cluster.
func (g *registration) foundLocked(h holder, revision int64) {
	if revision < g.revision {
		g.registrar.rolled()
	}
	if h != g.holder {
		g.registrar.changed()
	}
	g.revision, g.holder = revision, h
}

// begin returns the wish, and a context for a round of reconciling it, which ends with the wish.
func (g *registration) begin(ctx context.Context) (context.Context, *wish) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ctx, g.abort = context.WithTimeout(ctx, g.registrar.timeout())
	return ctx, g.wish
}

// fulfilled records that etcd has the wish, or that another owner's record stands for it.
func (g *registration) fulfilled(w *wish) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.applied = w
	g.announceLocked()
}

// settle records how a round of reconciling a wish went, and reports whether the registration is over. The error that is
// left is a reason to try again.
func (g *registration) settle(round context.Context, w *wish, err error) (over bool, left error) {
	r := g.registrar
	r.mu.Lock()
	defer r.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.announceLocked()
	defer g.abort()
	switch {
	case err == nil:
		g.applied = w
	case !isRetriable(err) && g.applied != w:
		g.rejectLocked(w, err)
		return false, nil
	case g.wish != w, errors.Is(round.Err(), context.Canceled): // aborted, maybe because etcd is another one
		return false, nil
	}
	stands := err
	if g.applied == w && g.holder != unknown && etcdconn.IsUnanswered(err) {
		stands = nil // etcd is away, and nothing is known to be wrong
	}
	if (stands == nil) != (g.err == nil) {
		defer r.changed()
	}
	g.err = stands
	over = err == nil && g.wish == w && w.record == nil
	if over {
		delete(r.registrations, g.key)
	}
	return over, err
}

// rejectLocked gives up a wish that etcd will never take, in favor of the one before. (One that it took before is
// kept: etcd's limits have changed, and may change again.)
func (g *registration) rejectLocked(w *wish, err error) {
	w.refused = err
	if g.wish != w {
		return
	}
	g.err = nil
	if g.applied != nil && g.applied.record != nil {
		g.wish = g.applied
	} else {
		g.wish = &wish{name: w.name, number: w.number}
	}
	g.poke()
}

// setLease changes what the key hangs on.
func (g *registration) setLease(l *lease) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lease = l
}

// setWatchError notes whether the key can be watched.
func (g *registration) setWatchError(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if (err == nil) != (g.watchErr == nil) {
		g.registrar.changed()
	}
	g.watchErr = err
}
