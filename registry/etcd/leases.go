package etcd

import (
	"context"
	"errors"
	"slices"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// leases hands out the sessions that keys hang on: one for each key, or with SharedLease one
// for many keys of the same TTL.
//
// One per key is the default because whatever etcd does to a lease it does in one revision, and the
// official plugin's watcher sees only the first event of a revision.
type leases struct {
	connector *connector
	shared    func() bool

	granting chan struct{} // has a token while a shared lease is being granted

	mu      sync.Mutex
	open    []*session                   // shared ones that may be joined
	held    []*session                   // shared ones that have users
	granted remembered[clientv3.LeaseID] // those on which another history may bring back records
}

// shardSize bounds how many keys share a lease, and so how many vanish in one revision when it is revoked.
const shardSize = 512

func newLeases(c *connector, shared func() bool) *leases {
	return &leases{connector: c, shared: shared, granting: make(chan struct{}, 1)}
}

// take returns a session of a TTL for one key. It is given back by leave or release.
func (ls *leases) take(ctx context.Context, seconds int64) (*session, error) {
	if !ls.shared() {
		return ls.grant(ctx, seconds, false)
	}
	if s := ls.join(seconds); s != nil {
		return s, nil
	}
	select {
	case ls.granting <- struct{}{}:
		defer func() { <-ls.granting }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if s := ls.join(seconds); s != nil {
		return s, nil
	}
	s, err := ls.grant(ctx, seconds, true)
	if err != nil {
		return nil, err
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.open, ls.held = append(ls.open, s), append(ls.held, s)
	return s, nil
}

func (ls *leases) grant(ctx context.Context, seconds int64, shared bool) (*session, error) {
	s, err := grantSession(ctx, ls.connector, seconds, shared)
	if err != nil {
		return nil, err
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.granted.add(s.id)
	return s, nil
}

// isOurs reports whether a lease is one that this registry was granted.
func (ls *leases) isOurs(id clientv3.LeaseID) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.granted.has[id]
}

// revokeFormer revokes a lease that came back with a snapshot, unless keys of ours hang on it.
func (ls *leases) revokeFormer(ctx context.Context, id clientv3.LeaseID) error {
	ls.mu.Lock()
	needed := id == clientv3.NoLease || slices.ContainsFunc(ls.held, func(s *session) bool { return s.id == id })
	ls.mu.Unlock()
	if needed {
		return nil
	}
	return revoke(ctx, ls.connector, id)
}

// join takes a shared session in use that has room, and a future.
func (ls *leases) join(seconds int64) *session {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, s := range ls.open {
		if s.seconds == seconds && s.users < shardSize && !s.isLost() && !s.isRefused() {
			s.users++
			return s
		}
	}
	return nil
}

// stopRenewing ends the renewal of a session that nobody else uses.
func (ls *leases) stopRenewing(s *session) {
	ls.mu.Lock()
	alone := s.users == 1
	if alone {
		ls.closeToOthers(s)
	}
	ls.mu.Unlock()
	if alone {
		s.end()
	}
}

// leave gives a session back whose lease is gone. Nobody joins it any more.
func (ls *leases) leave(s *session) {
	ls.mu.Lock()
	ls.closeToOthers(s)
	alone := ls.giveUp(s)
	ls.mu.Unlock()
	if alone {
		s.end()
		s.lose(leaseLost)
	} else {
		s.doubt()
	}
}

// giveUp takes a user off a session, and reports whether it was the last one. It needs mu.
func (ls *leases) giveUp(s *session) (last bool) {
	if s.users--; s.users > 0 {
		return false
	}
	ls.held = without(ls.held, s)
	return true
}

// needed reports whether somebody else keeps a session's lease alive.
func (ls *leases) needed(s *session, g *registration) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return hasOthers(s, g) && !s.isLost()
}

// hasOthers reports whether a session has users beside one, but for those that have only to wait for its end. It needs mu.
func hasOthers(s *session, g *registration) bool {
	others := s.users - len(s.landing)
	if !s.landing[g] {
		others--
	}
	return others > 0
}

// release gives a session back that no key of the caller hangs on any more. The last user revokes
// the lease, and may try again if that fails. While a put of the caller's may land on it yet, it
// is released only by the revoke: else that put would live for as long as the others do.
func (ls *leases) release(ctx context.Context, s *session, g *registration) (released bool, err error) {
	landing := !g.inFlight.IsZero()
	ls.mu.Lock()
	delete(s.landing, g)
	lost, needed := s.isLost(), hasOthers(s, g)
	last := false
	switch {
	case lost || needed && !landing:
		last = ls.giveUp(s)
	case needed:
		s.landing[g] = true
	default:
		ls.closeToOthers(s)
	}
	ls.mu.Unlock()
	if last {
		s.end()
	}
	if lost || needed {
		return lost || !landing, nil
	}
	if err := s.revoke(ctx); err != nil {
		return false, err
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.giveUp(s)
	return true, nil
}

// close revokes the shared leases that there are: what may land on them yet is nobody's wish.
func (ls *leases) close(ctx context.Context) error {
	ls.mu.Lock()
	held := slices.Clone(ls.held)
	ls.mu.Unlock()
	var errs []error
	for _, s := range held {
		if !s.isLost() {
			errs = append(errs, s.revoke(ctx))
		}
	}
	return errors.Join(errs...)
}

// closeToOthers lets nobody join a session any more. It needs mu.
func (ls *leases) closeToOthers(s *session) { ls.open = without(ls.open, s) }

func without(all []*session, s *session) []*session {
	return slices.DeleteFunc(all, func(o *session) bool { return o == s })
}
