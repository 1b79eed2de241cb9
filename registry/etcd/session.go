package etcd

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"
)

// session keeps one lease alive until it is stopped or etcd says that the lease is gone, or that it won't renew it.
//
//	         grant                keepalive channel closed
//	(none) ────────► held ──────────────────────────────────► suspect ──┐ etcd unreachable:
//	                  │ ▲                                     │ │  │ ▲   │ backoff, for ever
//	                  │ └──────────── TTL > 0 ────────────────┘ │  │ └───┘
//	                  │                                         │  │ not found
//	                  │ not permitted                           │  ▼
//	                  └────────────────► refused ◄──────────────┘ lost
//
// The etcd client closes a keepalive channel for many reasons, most of which leave the lease
// alive (client/v3 lease.go, deadlineLoop): so a closed channel is a suspicion, and etcd is
// asked before anything is granted anew.
//
// A refused lease has a key that we may not write. It lives for what is left of its TTL, in which those of its keys that we
// may write move to another lease. It isn't asked for again: a try would open a stream, and with a password authenticate.
type session struct {
	id      clientv3.LeaseID
	seconds int64 // the TTL that was asked for
	granted time.Time

	connector *connector
	stop      context.CancelFunc
	done      chan struct{}
	refused   chan struct{} // closed when etcd refuses to renew the lease
	lost      chan struct{} // closed when etcd says that the lease is gone
	once      sync.Once     // for closing lost
	check     chan struct{} // asks for a look at etcd, for the time when its history changed

	renewed atomic.Int64 // when etcd granted the lease or renewed it last, in Unix nanoseconds

	shared bool // several keys hang on the lease; doesn't change

	// Under leases.mu.
	users   int                    // how many keys there are
	landing map[*registration]bool // those that are only kept because a put may land yet
}

// grantSession asks for a lease and keeps it alive from then on. The caller stops it.
func grantSession(ctx context.Context, c *connector, seconds int64, shared bool) (*session, error) {
	granted, err := callWhole(ctx, c, func(ctx context.Context, l *link) (*clientv3.LeaseGrantResponse, error) {
		r, err := l.Grant(ctx, seconds)
		if err == nil {
			l.history.saw(r.ResponseHeader)
		}
		return r, err
	})
	if err != nil {
		return nil, err
	}
	s := &session{
		id:        granted.ID,
		seconds:   seconds,
		granted:   time.Now(),
		connector: c,
		done:      make(chan struct{}),
		refused:   make(chan struct{}),
		lost:      make(chan struct{}),
		check:     make(chan struct{}, 1),
		shared:    shared,
		users:     1,
		landing:   make(map[*registration]bool),
	}
	s.noteRenewal()
	c.metrics.leases.add(leaseGranted)
	var running context.Context
	running, s.stop = context.WithCancel(c.ctx)
	if !c.group.run(func() {
		defer close(s.done)
		s.keepAlive(running)
	}) {
		close(s.done)
	}
	return s, nil
}

// leaseID is NoLease for no session.
func (s *session) leaseID() clientv3.LeaseID {
	if s == nil {
		return clientv3.NoLease
	}
	return s.id
}

func (s *session) isLost() bool { return isClosed(s.lost) }

func (s *session) isRefused() bool { return isClosed(s.refused) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// doubt makes the session ask etcd whether the lease is still there.
func (s *session) doubt() {
	select {
	case s.check <- struct{}{}:
	default:
	}
}

func (s *session) keepAlive(ctx context.Context) {
	var err error // of the last look at etcd; while there is one, the lease is suspect
	ignored, late := false, false
	for failures := 0; ctx.Err() == nil; failures++ {
		if failures > 0 {
			pause(ctx, backoff(failures, err), s.check)
		}
		if err == nil {
			answered, doubted := s.hold(ctx)
			if ctx.Err() != nil || s.isRefused() {
				return
			}
			s.connector.metrics.leases.add(leaseSuspect)
			ignored = !answered && !doubted
			if answered {
				failures = 0
			}
		}
		err = s.ask(ctx, ignored, late)
		late = s.isLate(ctx, err) // now: the connection may be another one when it is tried again
		switch {
		case err == nil:
			s.connector.metrics.leases.add(leaseHeld)
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			s.lose(leaseLost)
			return
		case denied(err):
			s.refuse()
			return
		}
	}
}

// settle waits while a new lease needs no keepalive, and reports whether there was a doubt. The etcd client
// sends the first one at once, which would only be in the way of the write that the lease is for.
func (s *session) settle(ctx context.Context) (doubted bool) {
	first := time.NewTimer(time.Until(s.granted.Add(min(time.Second, time.Duration(s.seconds)*time.Second/4))))
	defer first.Stop()
	select {
	case <-first.C:
	case <-ctx.Done():
	case <-s.check:
		return true
	}
	return false
}

// hold reads the answers to keepalives until the client stops giving any, one is a refusal, or there is a doubt, and
// reports whether there was one. The context must not require a leader: the etcd client would go on renewing
// with nobody listening (client/v3 lease.go, closeRequireLeader).
func (s *session) hold(ctx context.Context) (answered, doubted bool) {
	if s.settle(ctx) {
		return false, true
	}
	l, err := s.connector.link(ctx)
	if err != nil {
		return false, false
	}
	ctx, cancel := l.during(ctx)
	defer cancel()
	answers, err := l.renewals.KeepAlive(ctx, s.id)
	if err != nil {
		return false, false
	}
	for {
		select {
		case answer, ok := <-answers:
			if !ok {
				return answered, false
			}
			if answer.ResponseHeader == refusal {
				s.connector.metrics.streamed(ctx, methodKeepAlive, rpctypes.ErrPermissionDenied)
				s.refuse()
				return answered, false
			}
			l.history.saw(answer.ResponseHeader)
			s.noteRenewal()
			s.connector.metrics.streamed(ctx, methodKeepAlive, nil)
			answered = true
		case <-s.check:
			return answered, true
		}
	}
}

// ask finds out whether the lease is still there, and renews it if that can't wait: when the client's keepalives
// were ignored, or answers come late, or we may not look, which takes permission to read: writing may be permitted.
func (s *session) ask(ctx context.Context, ignored, late bool) error {
	if late {
		return s.renew(ctx)
	}
	overdue, err := s.look(ctx)
	if err == nil && (overdue || ignored) || s.isLate(ctx, err) || denied(err) {
		return s.renew(ctx)
	}
	return err
}

// isLate reports whether an answer didn't come in time although there is a connection: then it may be under way,
// and a renewal would have reached etcd.
func (s *session) isLate(ctx context.Context, err error) bool {
	l, _ := s.connector.peek()
	return errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && l != nil &&
		l.ActiveConnection().GetState() == connectivity.Ready
}

// renew renews the lease once, on a stream of its own: because the client's keepalives were ignored
// although etcd answers, or because the lease may not live until the next one, which the client sends within half a
// second (client/v3 lease.go, sendKeepAliveLoop). With a password each such stream authenticates.
func (s *session) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	l, err := s.connector.link(ctx)
	if err != nil {
		return err
	}
	ctx, stop := l.during(ctx)
	defer stop()
	_, err = measure(ctx, s.connector.metrics, func() (*clientv3.LeaseKeepAliveResponse, error) {
		return l.KeepAliveOnce(ctx, s.id)
	})
	s.connector.heed(l, err)
	if err == nil {
		s.noteRenewal()
	}
	return err
}

// look finds out whether the lease is still there, and whether it is overdue for a renewal. It is a plain
// request: all leases are in doubt at one time, and each renewal would open a stream, and with a password
// authenticate.
func (s *session) look(ctx context.Context) (overdue bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	left, err := call(ctx, s.connector, func(ctx context.Context, l *link) (*clientv3.LeaseTimeToLiveResponse, error) {
		return l.TimeToLive(ctx, s.id)
	})
	switch {
	case err != nil:
		return false, err
	case left.TTL <= 0:
		return false, rpctypes.ErrLeaseNotFound
	}
	return left.TTL < left.GrantedTTL/2, nil
}

// end stops renewing; the lease runs out unless it is revoked.
func (s *session) end() {
	s.stop()
	<-s.done
}

// revoke ends the session and its lease, and with it whatever hangs on it.
func (s *session) revoke(ctx context.Context) error {
	s.end()
	err := revoke(ctx, s.connector, s.id)
	if err == nil {
		s.lose(leaseRevoked)
	}
	return err
}

// revoke ends a lease. One that is gone already is a success: the etcd client may have repeated
// a revoke that worked.
func revoke(ctx context.Context, c *connector, id clientv3.LeaseID) error {
	_, err := call(ctx, c, func(ctx context.Context, l *link) (*clientv3.LeaseRevokeResponse, error) {
		return l.Revoke(ctx, id)
	})
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return err
}

// refuse notes that etcd doesn't renew the lease any more.
func (s *session) refuse() {
	close(s.refused)
	s.connector.metrics.leases.add(leaseRefused)
	s.connector.log.warnf("etcd refuses to renew lease %x: %v; it will expire, and what of it may still be written moves to another", int64(s.id), rpctypes.ErrPermissionDenied)
}

// lose notes that the lease is gone, and how.
func (s *session) lose(how leaseChange) {
	s.once.Do(func() {
		close(s.lost)
		s.connector.metrics.leases.add(how)
	})
}

func (s *session) noteRenewal() { s.renewed.Store(time.Now().UnixNano()) }

// age is how long ago the lease was granted or last renewed.
func (s *session) age() time.Duration { return time.Since(time.Unix(0, s.renewed.Load())) }
