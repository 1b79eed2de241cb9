package registration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/etcderr"
	"github.com/micro-etcd/micro-etcd/internal/lease"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/prober"
	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// desired is what the owner of a key wants to be there. Once set, it changes only by being refused.
type desired struct {
	generation int             // counts up for each key
	name       string          // of the service
	record     *catalog.Record // nil: nothing of ours
	value      []byte          // the record encoded
	seconds    int64           // TTL

	refused error // why etcd will never take it; under the registration's mu
}

func (d *desired) equal(o *desired) bool {
	return d.record != nil && o.record != nil && d.seconds == o.seconds && d.record.Equal(o.record)
}

// restores are how often the record had to be put back, and of the last time why, and how long after that was noticed.
type restores struct {
	count int
	cause metrics.RestoreCause
	after time.Duration
}

// owner says who has a key, as far as etcd told.
type owner int

const (
	ownerUnknown owner = iota // nobody told, or what was told is out of date
	ownerSelf                 // our value, on our lease
	ownerOther                // somebody else's record, or notice: we stand by
	ownerNotice               // no record, but our notice: the node is out of service
)

// registration makes etcd agree with what is desired at one key, until that is nothing, and nothing is there.
//
//	            put, or the key is ours already
//	unknown ───────────────────────────────────► self ──┐
//	  ▲  │                                        │     │ event: deleted, overwritten by junk;
//	  │  ├── somebody else has it ──► other       │     │ lease lost; watch ended; rollback
//	  │  └── our notice is there ───► notice ◄────┤     │
//	  │                                │     leaves service
//	  └────────────────────────────────┴──────────┴─────┘
//
// One goroutine does all requests of a key one after the other, so that a Deregister never overtakes a put in flight.
// This file is its state, and how calls and events change it; reconcile.go is what it does, with notice.go and
// health.go for a node that is out of service.
type registration struct {
	shared    *shared
	key       string
	noticeKey string
	wake      signal.Signal
	forget    func() // called with shared.mu held, when it is over

	// Only for the goroutine.
	cleanupOnly bool // made only to remove what an earlier registration may have left at the key
	decoder     *catalog.Decoder
	retired     []*lease.Lease  // that the key hung on before
	from        int64           // the revision to watch from
	watch       *etcdconn.Watch // nil for none
	noticed     bool            // there was a notice instead of a record
	noticeWatch *etcdconn.Watch // nil unless noticed
	checks      *[]prober.Check // that are run; nil for none
	endChecks   func()

	orphans []int64 // ids of leases that may have been granted without our knowing, the newest ones

	mu                sync.Mutex
	desired           *desired
	generation        int                  // so far
	applied           *desired             // the last one that etcd took; nil before
	err               error                // why etcd doesn't have what is desired; nil while that may change any moment
	watchErr          error                // why the key can't be watched; nil once it is
	owner             owner                // of the key
	cause             metrics.RestoreCause // why the owner isn't known, or wasn't the last time
	unknownFrom       time.Time            // when that was noticed
	restores          restores
	revision          int64              // at which the key was last written, as far as is known
	rollbackSuspected bool               // etcd's data may be others than they were
	lease             *lease.Lease       // what the key hangs on; only the goroutine changes it
	prober            *prober.Prober     // runs the checks; nil for none
	sick              string             // why its checks want the node out of service; "" if they don't
	held              string             // why it stays in service all the same
	holds             int                // how often that was found in a row
	drain             *catalog.Notice    // why somebody else wants it out of service; nil if nobody does
	placed            *placed            // the notice that was last known to be there; nil for none
	abort             context.CancelFunc // of the round under way
	changed           chan struct{}      // closed and renewed when something of the above changes
}

func newRegistration(s *shared, key string, forget func()) *registration {
	return &registration{
		shared:    s,
		key:       key,
		noticeKey: s.Keys.Notice(key),
		wake:      signal.New(),
		forget:    forget,
		decoder:   catalog.NewDecoder(s.Keys),
		desired:   &desired{},
		abort:     func() {},
		changed:   make(chan struct{}),
	}
}

// repeated returns what is desired if that is what is offered, else nil.
func (g *registration) repeated(node int, o Offer, seconds int64) *desired {
	g.mu.Lock()
	defer g.mu.Unlock()
	if d := g.desired; d.record != nil && d.seconds == seconds && o.Same(d.record, node) {
		return d
	}
	return nil
}

// pending is what a call waits for, or what became of it if there is nothing to wait for.
type pending struct {
	key     string
	settled bool
	err     error

	registration *registration
	desired      *desired
}

// await waits for what becomes of it.
func (p pending) await(ctx context.Context) error {
	if p.settled {
		return p.err
	}
	return p.registration.await(ctx, p.desired)
}

// set records what is desired. A repeat is settled with nil if etcd has taken that, connected or not: from an error
// go-micro's server would learn nothing that Status doesn't tell, and wait where it can't be stopped
// (server/rpc_server.go, Start). Else it is settled with the error that stands, if any.
func (g *registration) set(d *desired) pending {
	g.mu.Lock()
	defer g.mu.Unlock()
	if own := g.desired.record; own != nil && own.Name != d.name {
		return pending{key: g.key, settled: true, err: fmt.Errorf(
			"%w: in use by service %q, which shares a directory with %q", ErrNodeID, own.Name, d.name,
		)}
	}
	if !d.equal(g.desired) && (d.record != nil || g.desired.record != nil) {
		return g.replaceLocked(d)
	}
	switch {
	case g.desired.record != nil && g.applied == g.desired:
		return pending{key: g.key, settled: true}
	case g.err != nil:
		return pending{key: g.key, settled: true, err: g.err}
	}
	g.wake.Send()
	return pending{key: g.key, registration: g, desired: g.desired}
}

func (g *registration) replaceLocked(d *desired) pending {
	if d.record != nil {
		var err error
		if d.value, err = catalog.Encode(d.record); err != nil {
			return pending{key: g.key, settled: true, err: err}
		}
	}
	g.generation++
	d.generation = g.generation
	g.desired, g.err = d, nil
	g.broadcastLocked()
	g.abort()
	g.wake.Send()
	return pending{key: g.key, registration: g, desired: d}
}

// deregister desires nothing, and asks etcd once more if that has failed before: it may be back.
func (g *registration) deregister() pending {
	g.mu.Lock()
	g.err = nil
	name := g.desired.name
	g.mu.Unlock()
	return g.set(&desired{name: name})
}

// broadcastLocked wakes everybody who waits for a change.
func (g *registration) broadcastLocked() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// await waits until etcd has taken d, or what replaced it in this process, or never will.
func (g *registration) await(ctx context.Context, d *desired) error {
	for {
		g.mu.Lock()
		now, err, changed, refused := g.desired, g.err, g.changed, d.refused
		taken := g.applied != nil && g.applied.generation >= d.generation &&
			(d.record == nil || g.applied.record != nil) // its removal doesn't mean that the record was there
		g.mu.Unlock()
		withdrawn := d.record != nil && now.generation > d.generation && now.record == nil
		switch {
		case refused != nil:
			return refused
		case taken || d.record == nil && now.generation > d.generation:
			return nil
		case withdrawn && g.shared.isClosed():
			return etcdconn.ErrClosed
		case withdrawn && now.refused != nil:
			return errReplacedByRefused
		case withdrawn:
			return ErrWithdrawn
		case now.generation < d.generation:
			return errReplacedByRefused
		case etcderr.IsAnswer(err):
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if err == nil {
				err = g.recordTimeout(d, g.shared.Connector.Failure(ctx, context.Cause(ctx)))
			}
			return err
		}
	}
}

// recordTimeout notes that a caller was told that etcd hasn't taken d: whoever repeats it needn't wait as long again.
func (g *registration) recordTimeout(d *desired, err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.desired == d && g.applied != d && g.err == nil {
		g.err = err
		g.shared.Changed()
	}
	return err
}

// suspectRollback makes the goroutine look at etcd again because its data may be others: then the watch may wait for a
// revision that is far away, and the lease be gone without a word.
func (g *registration) suspectRollback(cause metrics.RestoreCause) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.suspectRollbackLocked(cause)
}

func (g *registration) suspectRollbackLocked(cause metrics.RestoreCause) {
	g.resyncLocked(cause)
	g.rollbackSuspected = true
	g.wake.Send()
}

// reset is suspectRollback, after which earlier errors count no more: etcd is another one, or we are to it.
// All of it is one step: a round that begins in between would be aborted with nothing to wake its successor.
func (g *registration) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.suspectRollbackLocked(metrics.RestoreClientReplaced)
	g.err = nil
	g.abort()
}

// resync makes the next round look at etcd.
func (g *registration) resync(cause metrics.RestoreCause) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.resyncLocked(cause)
}

func (g *registration) resyncLocked(cause metrics.RestoreCause) {
	if g.owner != ownerUnknown {
		g.cause, g.unknownFrom = cause, time.Now()
	}
	g.owner, g.cause = ownerUnknown, max(g.cause, cause)
}

// setCause notes why the key has to be looked at, although nothing is known to be wrong with it.
func (g *registration) setCause(cause metrics.RestoreCause) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.owner != ownerUnknown {
		g.cause, g.unknownFrom = cause, time.Now()
	}
}

// restored notes that the record had to be put back.
func (g *registration) restored() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shared.Connector.Metrics.Reregistrations.Add(g.cause)
	g.restores = restores{g.restores.count + 1, g.cause, time.Since(g.unknownFrom)}
	g.shared.Changed()
}

// found records who has the key, written at a revision, as etcd answered.
func (g *registration) found(o owner, revision int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.foundLocked(o, revision)
}

// acknowledged is found for a write of ours, which within a history has a revision of its own: of the record, or of the
// notice that stands for it.
func (g *registration) acknowledged(o owner, revision int64, n *catalog.Notice) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if revision == g.revision {
		g.shared.RolledBack()
	}
	if n != nil {
		g.placed = &placed{notice: *n, revision: revision, lease: g.leaseID()}
	} else {
		g.drain = nil
	}
	g.foundLocked(o, revision)
}

// foundLocked: a revision before what was known comes from another history: a wiped data directory, a restored
// snapshot, another cluster.
func (g *registration) foundLocked(o owner, revision int64) {
	if revision < g.revision {
		g.shared.RolledBack()
	}
	if o != g.owner {
		g.shared.Changed()
	}
	if o == ownerSelf || o == ownerOther {
		g.placed = nil
	}
	if o == ownerOther || o == ownerNotice {
		g.releaseLocked()
	}
	g.revision, g.owner = revision, o
}

// minRound is how long a round may take at least: it may need several requests, one after the other, for which a
// timeout that suits callers may be too short.
const minRound = 5 * time.Second

// begin returns what is desired, and a context for a round of reconciling, which ends when that is replaced.
func (g *registration) begin(ctx context.Context) (context.Context, *desired) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ctx, g.abort = context.WithTimeout(ctx, max(g.shared.Timeout(), minRound))
	return ctx, g.desired
}

// fulfilled records that etcd has what is desired, or that another owner's record stands for it.
func (g *registration) fulfilled(d *desired) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.applied = d
	g.broadcastLocked()
}

// settle records how a round of reconciling went, and reports whether the registration is over. The error that is left
// is a reason to try again.
func (g *registration) settle(round context.Context, d *desired, err error) (over bool, left error) {
	g.shared.mu.Lock()
	defer g.shared.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.broadcastLocked()
	defer g.abort()
	switch {
	case err == nil:
		g.applied = d
	case !isRetriable(err) && g.applied != d:
		g.rejectLocked(d, err)
		return false, nil
	case g.desired != d, errors.Is(round.Err(), context.Canceled): // aborted, maybe because etcd is another one
		return false, nil
	}
	stands := err
	if g.applied == d && g.owner != ownerUnknown && etcderr.IsUnanswered(err) {
		stands = nil // etcd is away, and nothing is known to be wrong
	}
	if (stands == nil) != (g.err == nil) {
		defer g.shared.Changed()
	}
	g.err = stands
	over = err == nil && g.desired == d && d.record == nil
	if over {
		g.forget()
	}
	return over, err
}

// rejectLocked gives up what etcd will never take, in favor of what it took before. (One that it took before is kept:
// etcd's limits have changed, and may change again.)
func (g *registration) rejectLocked(d *desired, err error) {
	d.refused = err
	if g.desired != d {
		return
	}
	g.err = nil
	if g.applied != nil && g.applied.record != nil {
		g.desired = g.applied
	} else {
		g.desired = &desired{name: d.name, generation: d.generation, refused: err}
	}
	g.wake.Send()
}

// setLease changes what the key hangs on.
func (g *registration) setLease(l *lease.Lease) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lease = l
}

// setWatchError notes whether the key can be watched.
func (g *registration) setWatchError(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if (err == nil) != (g.watchErr == nil) {
		g.shared.Changed()
	}
	g.watchErr = err
}

// recordOf returns what is desired as etcd has it since a revision.
func (g *registration) recordOf(d *desired, revision int64) *catalog.Record {
	record := *d.record
	record.Revision, record.Lease = revision, g.leaseID()
	return &record
}

func (g *registration) leaseID() int64 {
	if g.lease == nil {
		return int64(clientv3.NoLease)
	}
	return g.lease.ID
}

func (g *registration) isOut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.placed != nil
}

// releaseLocked forgets that the node was held in service.
func (g *registration) releaseLocked() { g.held, g.holds = "", 0 }

// classify says whose a value at our key is; unknown stands for one that we may overwrite: our own out of date, or off
// its lease, or one that stands for nobody, because it is no record, or another node's.
func (g *registration) classify(kv *mvccpb.KeyValue, d *desired) owner {
	same := bytes.Equal(kv.Value, d.value)
	switch {
	case same && kv.Lease == g.leaseID():
		return ownerSelf
	case g.shared.leases.Owns(kv.Lease), same && kv.Lease == int64(clientv3.NoLease):
		return ownerUnknown
	}
	record, err := g.decoder.Decode(string(kv.Key), kv.ModRevision, kv.Value)
	if err != nil || !record.HasOwnKey() {
		return ownerUnknown
	}
	return ownerOther
}

// placed is the notice that was last known to be there: there is one as long as the owner is ownerNotice, and until it
// is known who has the key then.
type placed struct {
	notice          catalog.Notice
	revision, lease int64
}

// latestLocked returns the record that is desired, or was before it was deregistered; nil for none.
func (g *registration) latestLocked() *desired {
	for _, d := range []*desired{g.desired, g.applied} {
		if d != nil && d.record != nil {
			return d
		}
	}
	return nil
}
