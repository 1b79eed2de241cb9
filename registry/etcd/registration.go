package etcd

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// wish is what the owner of a key wants to be there. It doesn't change once it was set.
type wish struct {
	name    string            // of the service
	record  *catalogue.Record // nil: nothing of ours
	value   []byte            // the record encoded
	seconds int64             // TTL, 0 for a key without a lease

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

// registration makes etcd agree with the wish for one key, for as long as the wish lives.
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
	former      bool // made only to remove what an earlier registration may have left at the key
	decoder     *decoder
	session     *session   // nil at TTL 0
	retired     []*session // leases that the key hung on before
	puts        [][]byte   // the last values that may have been put, the newest last
	bare        bool       // a value may have been put without a lease
	inFlight    time.Time  // when a put went unanswered that no revoked lease will stop; it may land yet
	from        int64      // the revision to watch the key from
	events      clientv3.WatchChan
	unwatch     context.CancelFunc
	renewStream func(error)

	mu        sync.Mutex
	wish      *wish
	applied   *wish // the last one that etcd took; nil before
	err       error // why the wish isn't fulfilled; nil while there is hope
	reported  bool  // that it isn't, to the log
	holder    holder
	cause     restoreCause  // why the holder isn't known, or wasn't the last time
	revision  int64         // at which the key was last written, as far as is known
	rewritten bool          // etcd's history may be another one
	lease     *session      // what the key hangs on, for Status and for Init to another cluster; nil at TTL 0
	lapse     time.Time     // when the wish ends unless repeated; zero for never
	changed   chan struct{} // closed and renewed when something of the above changes
}

func newRegistration(r *registrar, key string) *registration {
	return &registration{
		registrar: r,
		key:       key,
		wake:      make(chan struct{}, 1),
		decoder:   newDecoder(r.keys),
		unwatch:   func() {},
		wish:      &wish{},
		changed:   make(chan struct{}),
	}
}

// repeated returns the present wish if it is just this one, else nil. It copies nothing, because
// every service asks again and again.
func (g *registration) repeated(s *registry.Service, node *registry.Node, seconds int64) *wish {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w := g.wish; w.record != nil && w.seconds == seconds && w.record.Describes(s, node) {
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

// await waits for what becomes of the wish. The call that does so began at a time.
func (p pending) await(ctx context.Context, began time.Time) error {
	if p.settled {
		return p.err
	}
	return p.registration.await(ctx, p.wish, began)
}

// set records a wish. One that repeats the present one is settled with nil if that is healthy, else with the error that
// stands, if any.
func (g *registration) set(w *wish) pending {
	g.mu.Lock()
	defer g.mu.Unlock()
	if own := g.wish.record; own != nil && own.Name != w.name {
		return pending{key: g.key, settled: true, err: fmt.Errorf("%w: in use by service %q, which shares a directory with %q", ErrNodeID, own.Name, w.name)}
	}
	if !w.equal(g.wish) && (w.record != nil || g.wish.record != nil) {
		if w.record != nil {
			var err error
			if w.value, err = encode(w.record); err != nil {
				return pending{key: g.key, settled: true, err: err}
			}
		}
		g.wish, g.err, g.lapse = w, nil, time.Time{}
		g.announce()
		g.poke()
		return pending{key: g.key, registration: g, wish: w}
	}
	switch {
	case g.healthy():
		g.err, g.lapse = nil, time.Time{}
		return pending{key: g.key, settled: true}
	case g.err != nil:
		g.postpone()
		return pending{key: g.key, settled: true, err: g.err}
	}
	g.unsure(restoreRepeated)
	g.poke()
	return pending{key: g.key, registration: g, wish: g.wish}
}

// withdraw wishes for nothing of ours.
func (g *registration) withdraw() pending {
	g.mu.Lock()
	name := g.wish.name
	g.mu.Unlock()
	return g.set(&wish{name: name})
}

// leave withdraws, and asks etcd once more if that has failed before: it may be back.
func (g *registration) leave() pending {
	p := g.withdraw()
	if p.err == nil {
		return p
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = nil
	g.poke()
	return pending{key: g.key, registration: g, wish: g.wish}
}

// healthy reports whether nothing speaks against the wish being what etcd has. Standing by
// for another owner is healthy too: the id is registered. It needs mu.
func (g *registration) healthy() bool {
	if g.applied != g.wish || g.holder == unknown {
		return false
	}
	l, _ := g.registrar.connector.peek()
	return l != nil && l.ActiveConnection().GetState() == connectivity.Ready
}

func (g *registration) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// announce wakes everybody who waits for a change. It needs mu.
func (g *registration) announce() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// await waits until etcd has taken the wish, or will not. A wish that another one replaced
// meanwhile has had its day. The call that awaits it began at a time.
func (g *registration) await(ctx context.Context, w *wish, began time.Time) error {
	for {
		g.mu.Lock()
		err, refused, changed := g.err, w.refused, g.changed
		settled := g.wish != w || g.applied == w && (w.record == nil || g.holder != unknown)
		withdrawn := g.wish != w && g.wish.record == nil && w.record != nil && g.applied != w
		if settled && g.wish == w {
			g.lapse = time.Time{}
		}
		g.mu.Unlock()
		switch {
		case refused != nil:
			return refused
		case withdrawn && g.registrar.isClosed():
			return ErrClosed
		case withdrawn:
			return ErrWithdrawn
		case settled:
			return nil
		case answered(err):
			return g.disappoint(w, err, began)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if err == nil {
				l, _ := g.registrar.connector.peek()
				err = g.registrar.connector.explain(ctx, l, context.Cause(ctx))
			}
			return g.disappoint(w, err, began)
		}
	}
}

// disappoint notes that a caller was told that the wish isn't fulfilled. Whoever repeats the
// wish needn't wait as long again.
func (g *registration) disappoint(w *wish, err error, began time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wish == w {
		if g.applied == w && g.holder == ours {
			return nil // at the last moment
		}
		if g.err == nil && time.Since(began) >= g.registrar.timeout()/2 {
			g.err = err
		}
		g.postpone()
	}
	return err
}

// postpone sets the time at which a wish lapses after an error: go-micro doesn't deregister
// what it believes was never registered (server/rpc_server.go, registrar). It needs mu.
func (g *registration) postpone() {
	if g.wish.record == nil {
		return
	}
	g.lapse = time.Now().Add(max(2*time.Duration(g.wish.seconds)*time.Second, 2*time.Minute))
	if g.err == nil {
		g.poke()
	}
}

// doubt makes the goroutine look at etcd again because its history may be another one: then
// the watch may wait for a revision that is far away, and the lease be gone without a word.
func (g *registration) doubt(cause restoreCause) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unsure(cause)
	g.rewritten = true
	g.poke()
}

// hurry makes the goroutine try again at once if there is something left to do.
func (g *registration) hurry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holder == unknown || g.err != nil || g.wish.record == nil {
		g.poke()
	}
}

// retry is doubt after which errors before count no more: etcd is another one, or we are to it.
func (g *registration) retry() {
	g.doubt(restoreClientReplaced)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = nil
}

// distrust makes the next reconciling look at etcd. It is for the goroutine itself.
func (g *registration) distrust(cause restoreCause) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unsure(cause)
}

// unsure notes that nobody knows who has the key, and why. It needs mu.
func (g *registration) unsure(cause restoreCause) {
	if g.holder != unknown {
		g.cause = cause
	}
	g.holder, g.cause = unknown, max(g.cause, cause)
}

// restored notes that the record had to be put back.
func (g *registration) restored() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.registrar.metrics.reregistrations.add(g.cause)
}

// found records who has the key, written at a revision, as etcd answered.
func (g *registration) found(h holder, revision int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.note(h, revision)
}

// acknowledged is found for a write of ours, which within a history has a revision of its own.
func (g *registration) acknowledged(revision int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if revision == g.revision {
		g.registrar.alarm()
	}
	g.note(ours, revision)
}

// note is found. A revision before what was known comes from another history: a wiped data
// directory, a restored snapshot, another cluster. It needs mu.
func (g *registration) note(h holder, revision int64) {
	if revision < g.revision {
		g.registrar.alarm()
	}
	if h == foreign && g.holder != foreign {
		g.registrar.log.warnf("registration %s is superseded: another process took its id; standing by", g.key)
	}
	g.revision, g.holder = revision, h
}

// fulfilled records that etcd has the wish, or that another owner's record stands for it.
func (g *registration) fulfilled(w *wish) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.applied = w
	g.announce()
}

// settle records how reconciling a wish went, and reports whether the registration is over. The error that is left is
// a reason to try again.
func (g *registration) settle(w *wish, err error) (over bool, left error) {
	r := g.registrar
	r.mu.Lock()
	defer r.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.announce()
	switch {
	case err == nil:
		g.applied = w
	case !transient(err) && g.applied != w:
		g.reject(w, err)
		return false, nil
	case g.wish != w:
		return false, err
	}
	if (err != nil) != g.reported && w.record != nil {
		g.report(err)
	}
	g.err = err
	over = err == nil && g.wish == w && w.record == nil && g.inFlight.IsZero()
	if over {
		delete(r.registrations, g.key)
		r.sentries.count(g.key, -1)
	}
	return over, err
}

// report logs a change for the worse or the better, and not every round of it.
func (g *registration) report(err error) {
	g.reported = err != nil
	if err != nil {
		g.registrar.log.warnf("registration %s is pending: %v", g.key, err)
		return
	}
	g.registrar.log.infof("registration %s is in etcd again", g.key)
}

// reject gives up a wish that etcd will never take, in favour of the one before. (One that it took before is
// kept: etcd's limits have changed, and may change again.) It needs mu.
func (g *registration) reject(w *wish, err error) {
	w.refused = err
	if g.wish != w {
		return
	}
	g.err = nil
	if g.applied != nil && g.applied.record != nil {
		g.wish = g.applied
	} else {
		g.wish = &wish{name: w.name}
	}
	g.poke()
}

// expire ends a wish that nobody has repeated since its error.
func (g *registration) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lapse.IsZero() || time.Now().Before(g.lapse) {
		return
	}
	g.wish, g.err, g.lapse = &wish{name: g.wish.name}, nil, time.Time{}
	g.announce()
	g.poke()
	g.registrar.log.warnf("registration %s lapsed: nobody repeated it since its error", g.key)
}
