package etcd

import (
	"errors"
	"fmt"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/registration"
)

// Status is a picture of a registry for humans and probes. It holds no secrets. It is a copy: the registry doesn't
// change it any more.
type Status struct {
	// Err is the configuration error that every call returns, or nil.
	Err error
	// Closed says that Close was called.
	Closed bool
	// Endpoints are the addresses in use.
	Endpoints []string
	// Connected says whether there is a working connection to at least one of them. Without any call that needed etcd
	// there is none yet.
	Connected bool
	// Cluster is the id of the etcd cluster that answered last, 0 before.
	Cluster uint64
	// Registrations are this registry's own, sorted by key.
	Registrations []RegistrationStatus
	// Followed are the parts of etcd of which there is a local view, sorted by prefix.
	Followed []FollowedStatus
	// Malformed counts how often a stored value was skipped because it is no record. One that is read again counts
	// again.
	Malformed uint64
	// CacheErr says why views can't be kept in the directory of [CacheDir] at the moment, or nil.
	CacheErr error
}

// RegistrationStatus is one node that this registry was asked to register.
type RegistrationStatus struct {
	// Service, Version and Node are empty for one that left before, and that a restored snapshot may have brought back:
	// it is leaving again.
	Service, Version, Node, Key string
	// State is "registered", "pending" (etcd hasn't taken it, or has to be asked again, or the key can't be watched),
	// "superseded" (another process has taken the id; this one stands by), "out-of-service" (its checks fail, or
	// somebody has drained it), or "leaving" (deregistered, but etcd hasn't confirmed it).
	State string
	// TTL is the record's, in whole seconds; 90 s for one that was registered without.
	TTL time.Duration
	// Lease is the id of the lease that the record hangs on, 0 before there is one.
	Lease int64
	// Renewed is how long ago the registry asked for the lease, or for the last renewal that etcd has granted; 0
	// without one, and when leaving, because then it isn't renewed any more.
	Renewed time.Duration
	// Revision is etcd's, as of which the state is known.
	Revision int64
	// Restored is how often the record had to be put back, because it was gone or overwritten. RestoreCause says why
	// the last time, in the words of the label cause in docs/metrics.md, and RestoredAfter how long it took from when
	// that was noticed.
	Restored      int
	RestoreCause  string
	RestoredAfter time.Duration
	// OutOfService says why the node is out of service; nil unless that is its State.
	OutOfService *OutOfService
	// Held says why the node stays in service although its checks fail: too many of its service are out already.
	// Empty otherwise.
	Held string
	// Checks are those of [HealthCheck], in the order in which they were given.
	Checks []CheckStatus
	// Err says why the state isn't registered, if that is known.
	Err error
}

// OutOfService says why a node is out of service.
type OutOfService struct {
	// Reason is what its checks found, or what was given to micro-etcd drain.
	Reason string
	// By is who drained it; empty if its own checks did it.
	By string
	// Since is when that was, by the clock of who did it, and Until when the node comes back by itself; zero for not.
	Since, Until time.Time
}

// CheckStatus is what a health check of a node last said.
type CheckStatus struct {
	Name string
	// State is "unknown" (it hasn't passed or failed often enough yet), "never-passed" (so it doesn't count), "passing"
	// or "failing". Since is when it came into it.
	State string
	Since time.Time
	// Failures is how often in a row it has failed.
	Failures int
	// Err says why it failed the last time; nil if it passed.
	Err error
}

func registrationStatus(s *registration.Status) RegistrationStatus {
	of := RegistrationStatus{
		Service: s.Service, Version: s.Version, Node: s.Node, Key: s.Key, State: s.State, TTL: s.TTL, Lease: s.Lease,
		Renewed: s.Renewed, Revision: s.Revision, Restored: s.Restored, RestoreCause: s.RestoreCause,
		RestoredAfter: s.RestoredAfter, Held: s.Held, Err: s.Err,
	}
	if n := s.OutOfService; n != nil {
		of.OutOfService = &OutOfService{Reason: n.Reason, By: n.By, Since: n.Since, Until: n.Until}
	}
	for _, c := range s.Checks {
		of.Checks = append(of.Checks, CheckStatus{
			Name: c.Name, State: c.State, Since: c.Since, Failures: c.Failures, Err: c.Err,
		})
	}
	return of
}

// ready says what keeps the registry from being ready, if anything does.
func (s *Status) ready() error {
	switch {
	case s.Closed:
		return ErrClosed
	case s.Err != nil:
		return s.Err
	}
	var errs []error
	if !s.Connected && len(s.Registrations)+len(s.Followed) > 0 {
		errs = append(errs, etcdconn.ErrDisconnected)
	}
	for i := range s.Registrations {
		errs = append(errs, s.Registrations[i].ready())
	}
	for i := range s.Followed {
		switch f := &s.Followed[i]; {
		case f.Err != nil:
			errs = append(errs, fmt.Errorf("follow %s: %w", f.Prefix, f.Err))
		case !f.Ready:
			errs = append(errs, fmt.Errorf("follow %s: %w", f.Prefix, errUnread))
		}
	}
	return errors.Join(errs...)
}

var errUnread = errors.New("not read yet")

func (s *RegistrationStatus) ready() error {
	switch o := s.OutOfService; s.State {
	case registration.StatePending:
		if s.Err == nil {
			return fmt.Errorf("%s: %w", s.Key, ErrPending)
		}
		return fmt.Errorf("%s: %w: %w", s.Key, ErrPending, s.Err)
	case registration.StateSuperseded:
		return fmt.Errorf("%s: another process took its id", s.Key)
	case registration.StateOutOfService:
		return fmt.Errorf("%s: %w: %s", s.Key, ErrOutOfService, o.Reason)
	}
	return nil
}

// FollowedStatus is a part of etcd of which there is a local view.
type FollowedStatus struct {
	// Prefix is the followed directory; the registry's prefix for everything.
	Prefix string
	// Ready says whether there is a view yet.
	Ready bool
	// Cached is as of when the view is, if it comes from a cache file because etcd hasn't answered yet; else zero. See
	// [CacheDir].
	Cached time.Time
	// Nodes is the number of records in the view, Watchers that of open watchers on it.
	Nodes, Watchers int
	// Queued is how many changes wait for the Next of the slowest of them.
	Queued int
	// Lost is the number of nodes that went in a mass and that selectors with [Grace] still choose.
	Lost int
	// Revision is the newest one of etcd's in the view.
	Revision int64
	// Stale is how long the view hasn't been kept up to date, and Err why; 0 and nil for a current one. That of a cached
	// one counts from Cached.
	Stale time.Duration
	Err   error
}

// state returns what metrics tell of a status.
func (s *Status) state() metrics.State {
	m := metrics.State{
		Registrations: map[string]int64{
			registration.StateRegistered: 0, registration.StatePending: 0, registration.StateSuperseded: 0,
			registration.StateOutOfService: 0, registration.StateLeaving: 0,
		},
		Views:     map[string]int64{"current": 0, "stale": 0, "cached": 0, "unready": 0},
		Malformed: s.Malformed,
	}
	for i := range s.Registrations {
		g := &s.Registrations[i]
		m.Registrations[g.State]++
		if g.Held != "" {
			m.Held++
		}
		m.KeepaliveAge = max(m.KeepaliveAge, g.Renewed)
	}
	for _, f := range s.Followed {
		switch {
		case !f.Ready:
			m.Views["unready"]++
		case !f.Cached.IsZero():
			m.Views["cached"]++
		case f.Err != nil:
			m.Views["stale"]++
		default:
			m.Views["current"]++
		}
		m.Staleness, m.Revision = max(m.Staleness, f.Stale), max(m.Revision, f.Revision)
		m.Watchers, m.Queue = m.Watchers+f.Watchers, max(m.Queue, f.Queued)
	}
	return m
}
