package registration

import (
	"cmp"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/prober"
)

// Status is what RegistrationStatus of the registry's package says.
type Status struct {
	Service, Version, Node, Key string
	State                       string
	TTL                         time.Duration
	Lease                       int64
	Renewed                     time.Duration
	Revision                    int64
	Restored                    int
	RestoreCause                string
	RestoredAfter               time.Duration
	OutOfService                *catalog.Notice // nil for a node in service
	Held                        string
	Checks                      []prober.Status
	Err                         error
}

// The values of Status.State.
const (
	StateRegistered   = "registered"
	StatePending      = "pending"
	StateSuperseded   = "superseded"
	StateLeaving      = "leaving"
	StateOutOfService = "out-of-service"
)

// Status returns that of all registrations, sorted by key.
func (r *Registrar) Status() []Status {
	all := r.all()
	status := make([]Status, len(all))
	for i, g := range all {
		status[i] = g.status()
	}
	return status
}

func (g *registration) status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Status{Key: g.key, State: g.stateLocked(), Revision: g.revision, Err: cmp.Or(g.err, g.watchErr)}
	if d := g.latestLocked(); d != nil {
		s.Service, s.Version, s.Node = d.record.Name, d.record.Version, d.record.Node.Id
		s.TTL = time.Duration(d.seconds) * time.Second
	}
	if s.State == StateOutOfService {
		n := g.placed.notice
		s.OutOfService = &n
	}
	if s.Held = g.held; g.prober != nil {
		s.Checks = g.prober.Status()
	}
	if r := g.restores; r.count > 0 {
		s.Restored, s.RestoreCause, s.RestoredAfter = r.count, metrics.RestoreCauses[r.cause], r.after
	}
	if l := g.lease; l != nil {
		s.Lease = l.ID
		if g.desired.record != nil {
			s.Renewed = time.Since(*l.Renewed.Load())
		}
	}
	return s
}

func (g *registration) stateLocked() string {
	switch {
	case g.desired.record == nil:
		return StateLeaving
	case g.applied != g.desired || g.owner == ownerUnknown || g.err != nil || g.watchErr != nil:
		return StatePending
	case g.owner == ownerOther:
		return StateSuperseded
	case g.owner == ownerNotice:
		return StateOutOfService
	}
	return StateRegistered
}

// Written calls yield for each key of which is known who has it, with the revision at which it was last written, until
// it returns false.
func (r *Registrar) Written(yield func(key string, revision int64) bool) {
	for _, g := range r.all() {
		if revision, ok := g.known(); ok && !yield(g.key, revision) {
			return
		}
	}
}

// Records calls yield for each record of ours that etcd has, as far as is known, until it returns false.
func (r *Registrar) Records(yield func(*catalog.Record) bool) {
	for _, g := range r.all() {
		if record := g.written(); record != nil && !yield(record) {
			return
		}
	}
}

func (g *registration) written() *catalog.Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.owner != ownerSelf || g.applied == nil || g.applied.record == nil {
		return nil
	}
	return g.recordOf(g.applied, g.revision)
}

// RevisionOf returns what Written says of a key.
func (r *Registrar) RevisionOf(key string) (revision int64, ok bool) {
	r.mu.Lock()
	g := r.registrations[key]
	r.mu.Unlock()
	if g == nil {
		return 0, false
	}
	return g.known()
}

func (g *registration) known() (revision int64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.revision, (g.owner == ownerSelf || g.owner == ownerOther) && g.desired.record != nil
}
