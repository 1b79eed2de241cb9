package etcd

import (
	"time"

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
}

// RegistrationStatus is one node that this registry was asked to register.
type RegistrationStatus struct {
	// Service, Version and Node are empty for one that left before, and that a restored snapshot may have brought back:
	// it is leaving again.
	Service, Version, Node, Key string
	// State is "registered", "pending" (etcd hasn't taken it, or has to be asked again, or the key can't be watched),
	// "superseded" (another process has taken the id; this one stands by), or "leaving" (deregistered, but etcd hasn't
	// confirmed it).
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
	// Err says why the state isn't registered, if that is known.
	Err error
}

// FollowedStatus is a part of etcd of which there is a local view.
type FollowedStatus struct {
	// Prefix is the followed directory; the registry's prefix for everything.
	Prefix string
	// Ready says whether there is a view yet.
	Ready bool
	// Nodes is the number of records in the view, Watchers that of open watchers on it.
	Nodes, Watchers int
	// Queued is how many changes wait for the Next of the slowest of them.
	Queued int
	// Lost is the number of nodes that went in a mass and that selectors with [Grace] still choose.
	Lost int
	// Revision is the newest one of etcd's in the view.
	Revision int64
	// Stale is how long the view hasn't been kept up to date, and Err why; 0 and nil for a current one.
	Stale time.Duration
	Err   error
}

// state returns what metrics tell of a status.
func (s *Status) state() metrics.State {
	m := metrics.State{
		Registrations: map[string]int64{
			registration.StateRegistered: 0, registration.StatePending: 0, registration.StateSuperseded: 0,
			registration.StateLeaving: 0,
		},
		Views:     map[string]int64{"current": 0, "stale": 0, "unready": 0},
		Malformed: s.Malformed,
	}
	for i := range s.Registrations {
		g := &s.Registrations[i]
		m.Registrations[g.State]++
		m.KeepaliveAge = max(m.KeepaliveAge, g.Renewed)
	}
	for _, f := range s.Followed {
		switch {
		case !f.Ready:
			m.Views["unready"]++
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
