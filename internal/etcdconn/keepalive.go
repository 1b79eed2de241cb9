package etcdconn

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/peer"
)

// KeepAlive renews leases, each at a third of its TTL.
//
// A member works off the renewals of one stream one by one, and a follower forwards each to the leader: so there are as
// many streams as are needed to answer all within a sixth of the TTL. A renewal that isn't answered by then is asked for
// again on another stream, at another member if there is one, with everything that waits behind it; the tries before
// go on, and the first answer counts. A member that another one has overtaken like this is silent: its connection is
// closed.
//
// etcd refuses to renew a lease with a key that its user may not write by ending the stream (server/v3 v3rpc/lease.go,
// leaseKeepAlive). The lease that was asked for first and has no answer is the refused one; it isn't asked for again.
type KeepAlive struct {
	// Open opens a stream at a member that isn't one of those to avoid, if there is another one. It may wait for a
	// connection.
	Open func(ctx context.Context, avoid []*peer.Peer) (*Stream, error)
	// Go runs a function in a goroutine that somebody waits for, unless it is too late for that.
	Go func(func()) bool
	// Backoff is the pause after a number of failures in a row, the last one being err.
	Backoff func(failures int, err error) time.Duration
	// Resumed is called when the machine was asleep, or its clock was set.
	Resumed func(gap time.Duration)
	// Changed is told what becomes of leases, for metrics. It must not block.
	Changed func(LeaseChange)

	mu       sync.Mutex
	wake     chan struct{}
	leases   map[int64]*Lease
	streams  []*keepAliveStream
	failures int       // of streams, in a row
	retryAt  time.Time // no stream is opened before
}

// Stream is an open stream and where it leads.
type Stream struct {
	pb.Lease_LeaseKeepAliveClient
	Peer *peer.Peer
	// Answered is told the header of each answer, and Failed why the stream has ended.
	Answered func(*pb.ResponseHeader)
	Failed   func(error)
	// Silent closes the connection to the member, because others answer and it doesn't.
	Silent func()
	// Close ends the stream.
	Close context.CancelFunc
}

// LeaseChange is what becomes of a lease.
type LeaseChange int

// Changes of leases.
const (
	LeaseSuspect LeaseChange = iota // a renewal is overdue, or there is a doubt
	LeaseHeld                       // etcd has renewed a suspect one
	LeaseRefused                    // etcd won't renew it
	LeaseLost                       // etcd says that it is gone
)

// Lease is one that is kept alive until it is stopped, or etcd says that it is gone, or that it won't renew it.
//
//	held ──no answer in time, or a doubt──► suspect ──etcd: no such lease, twice──► lost
//	  ▲                                        │
//	  └───────────────renewed──────────────────┴──etcd: not permitted──► refused
//
// Silence is no loss: only etcd's word is. A refused lease lives for what is left of its TTL.
type Lease struct {
	// ID and TTL are as granted.
	ID  int64
	TTL time.Duration

	keepAlive *KeepAlive
	lost      chan struct{}
	refused   chan struct{}

	// Under KeepAlive.mu.
	renewed time.Time // when the renewal was asked for that etcd has answered last
	due     time.Time // when to ask
	asked   time.Time // when it was asked for last; zero when there is nothing unanswered
	suspect bool
	denied  bool // etcd has said once that there is no such lease
	stopped bool
}

// Add keeps a lease alive that was granted at a time.
func (k *KeepAlive) Add(id int64, ttl time.Duration, granted time.Time) *Lease {
	l := &Lease{
		ID: id, TTL: ttl, keepAlive: k, renewed: granted, due: granted.Add(ttl / 3),
		lost: make(chan struct{}), refused: make(chan struct{}),
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leases == nil {
		k.leases, k.wake = make(map[int64]*Lease), make(chan struct{}, 1)
	}
	k.leases[id] = l
	k.wakeLocked()
	return l
}

// Lost is closed when etcd says that the lease is gone.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Refused is closed when etcd says that it won't renew the lease.
func (l *Lease) Refused() <-chan struct{} { return l.refused }

// Renewed returns when etcd granted or renewed the lease, at the earliest.
func (l *Lease) Renewed() time.Time {
	l.keepAlive.mu.Lock()
	defer l.keepAlive.mu.Unlock()
	return l.renewed
}

// Stop ends the renewal.
func (l *Lease) Stop() {
	k := l.keepAlive
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dropLocked(l)
}

// Check asks etcd at once whether the lease is still there, unless it is being asked.
func (l *Lease) Check() {
	k := l.keepAlive
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.stopped {
		return
	}
	l.due = time.Time{}
	k.suspectLocked(l)
	k.wakeLocked()
}

func (k *KeepAlive) dropLocked(l *Lease) {
	l.stopped, l.asked = true, time.Time{}
	if k.leases[l.ID] == l {
		delete(k.leases, l.ID)
	}
	for _, s := range k.streams {
		s.forgetUnsentLocked(l)
	}
}

func (k *KeepAlive) suspectLocked(l *Lease) {
	if !l.suspect {
		l.suspect = true
		k.Changed(LeaseSuspect)
	}
}

func (k *KeepAlive) wakeLocked() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// maxPatience bounds how long an answer may take; it is how often a lease is asked for that may be gone.
const maxPatience = 5 * time.Second

// patienceLocked is how long an answer may take before it is asked for again.
func (l *Lease) patienceLocked() time.Duration {
	if time.Since(l.renewed) > l.TTL {
		return maxPatience
	}
	return min(l.TTL/6, maxPatience)
}

// Run renews the leases there are until ctx ends.
func (k *KeepAlive) Run(ctx context.Context) {
	clock := NewClock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		k.mu.Lock()
		if k.wake == nil {
			k.leases, k.wake = make(map[int64]*Lease), make(chan struct{}, 1)
		}
		wake := k.wake
		timer.Reset(time.Until(k.renewLocked(ctx, time.Now())))
		k.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-timer.C:
		}
		if gap := clock.Jump(); gap != 0 {
			k.checkAll()
			k.Resumed(gap)
		}
	}
}

// Retry forgets that streams have failed: etcd is another one, or we are to it.
func (k *KeepAlive) Retry() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failures, k.retryAt = 0, time.Time{}
	if k.wake != nil {
		k.wakeLocked()
	}
}

func (k *KeepAlive) checkAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.leases {
		l.due, l.asked = time.Time{}, time.Time{}
		k.suspectLocked(l)
	}
}

// maxPause is how often the loop looks around although nothing is due, to notice that the machine was asleep.
const maxPause = 10 * time.Second

// renewLocked asks for what is due, and returns when it has to look again.
func (k *KeepAlive) renewLocked(ctx context.Context, now time.Time) time.Time {
	next := now.Add(maxPause)
	var due []*Lease
	for _, l := range k.leases {
		switch {
		case !l.asked.IsZero() && now.Sub(l.asked) >= l.patienceLocked():
			k.suspectLocked(l)
			due = append(due, l)
		case !l.asked.IsZero():
			next = earlier(next, l.asked.Add(l.patienceLocked()))
		case !now.Before(l.due.Add(-l.TTL / 24)): // a bit early, so that leases of one time wake us up once
			due = append(due, l)
		default:
			next = earlier(next, l.due)
		}
	}
	if len(due) > 0 && !k.askLocked(ctx, due, now) && k.retryAt.After(now) {
		next = earlier(next, k.retryAt) // else an opening stream wakes us up
	}
	for _, l := range due {
		if l.asked.Equal(now) { // those that couldn't be asked for have to wait for a stream
			next = earlier(next, l.asked.Add(l.patienceLocked()))
		}
	}
	k.retireLocked(now)
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Bounds of the streams: how many there are, how many are being opened at one time, and how long one is kept that
// isn't needed.
const (
	maxStreams  = 64
	idleStreams = 10 * time.Second
)

// askLocked asks for renewals, and reports whether all could be. What a stream is late with is taken from it as a whole.
func (k *KeepAlive) askLocked(ctx context.Context, due []*Lease, now time.Time) bool {
	for _, s := range k.streams {
		if s.isLateLocked(now) {
			for _, r := range s.pending {
				if !r.lease.stopped && !r.lease.asked.IsZero() && !slices.Contains(due, r.lease) && k.onlyOnLocked(r.lease, s, now) {
					due = append(due, r.lease)
				}
			}
		}
	}
	slices.SortFunc(due, func(a, b *Lease) int { return a.renewed.Add(a.TTL).Compare(b.renewed.Add(b.TTL)) })
	all := true
	for _, l := range due {
		s := k.pickLocked(ctx, l, now)
		if s == nil {
			all = false
			continue
		}
		l.asked = now
		s.askLocked(l, now)
	}
	return all
}

// onlyOnLocked reports whether a lease waits for no other stream than s, as far as those aren't late as well.
func (k *KeepAlive) onlyOnLocked(l *Lease, s *keepAliveStream, now time.Time) bool {
	for _, other := range k.streams {
		if other != s && other.waitsForLocked(l) && !other.isLateLocked(now) {
			return false
		}
	}
	return true
}

// pickLocked returns the stream for a lease: the first one that isn't late and has a sixth of the TTL's time for it, or
// else a new one, or else the one with the least to do.
func (k *KeepAlive) pickLocked(ctx context.Context, l *Lease, now time.Time) *keepAliveStream {
	var fallback *keepAliveStream
	avoid, opening := k.avoidLocked(l, now)
	for _, s := range k.streams {
		switch {
		case s.waitsForLocked(l) || s.isLateLocked(now):
		case s.open != nil && slices.ContainsFunc(avoid, func(p *peer.Peer) bool { return samePeer(p, s.open.Peer) }):
			if fallback == nil {
				fallback = s
			}
		case time.Duration(len(s.pending)+1)*s.perAnswer <= l.TTL/6:
			return s
		case fallback == nil || len(s.pending) < len(fallback.pending):
			fallback = s
		}
	}
	if len(k.streams) < maxStreams && !opening && !now.Before(k.retryAt) {
		if s := k.openLocked(ctx, avoid); s != nil {
			return s
		}
	}
	return fallback
}

// avoidLocked returns the members that a lease waits for already, or that are late with another one, and whether a
// stream is still being opened on which it waits.
func (k *KeepAlive) avoidLocked(l *Lease, now time.Time) (avoid []*peer.Peer, opening bool) {
	for _, s := range k.streams {
		switch {
		case !s.waitsForLocked(l) && !s.isLateLocked(now):
		case s.open != nil:
			avoid = append(avoid, s.open.Peer)
		default:
			opening = true
		}
	}
	return avoid, opening
}

func (k *KeepAlive) openLocked(ctx context.Context, avoid []*peer.Peer) *keepAliveStream {
	s := &keepAliveStream{keepAlive: k, parent: ctx, wake: make(chan struct{}, 1), used: time.Now()}
	s.ctx, s.end = context.WithCancel(ctx)
	if !k.Go(func() { s.run(avoid) }) {
		s.end()
		return nil
	}
	k.streams = append(k.streams, s)
	return s
}

// opened takes in that a stream is open. What waits for it is asked for only now: its member isn't late with it.
func (k *KeepAlive) opened(s *keepAliveStream, stream *Stream) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	s.open = stream
	for i := range s.pending {
		r := &s.pending[i]
		r.at = now
		if !r.lease.asked.IsZero() {
			r.lease.asked = now
		}
	}
	k.wakeLocked() // others may be opened now
}

// retireLocked ends streams that aren't needed. The first one stays.
func (k *KeepAlive) retireLocked(now time.Time) {
	for i, s := range k.streams {
		if len(s.pending) == 0 && now.Sub(s.used) > idleStreams && (i > 0 || len(k.leases) == 0) {
			s.retired = true
			s.end()
		}
	}
}

// answered takes in an answer, and returns those streams that were asked before and have been overtaken.
func (k *KeepAlive) answered(s *keepAliveStream, a *pb.LeaseKeepAliveResponse) (overtaken []*keepAliveStream) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failures = 0
	r, ok := s.takeLocked(a.ID, now)
	if !ok || r.lease.stopped {
		return nil
	}
	l := r.lease
	granted := int64(l.TTL / time.Second)
	switch {
	case a.TTL <= 0 && !l.denied:
		l.denied = true
		l.due, l.asked = time.Time{}, time.Time{}
		k.suspectLocked(l)
	case a.TTL <= 0:
		k.dropLocked(l)
		close(l.lost)
		k.Changed(LeaseLost)
	case a.TTL < granted: // etcd's gRPC proxy says what is left (server/v3 proxy/grpcproxy/lease.go)
		l.denied = false
		l.due, l.asked = now.Add(l.patienceLocked()), time.Time{}
	default:
		overtaken = k.overtakenLocked(s, r)
		k.renewedLocked(l, r.at)
	}
	k.wakeLocked()
	return overtaken
}

func (k *KeepAlive) renewedLocked(l *Lease, asked time.Time) {
	if l.suspect {
		k.Changed(LeaseHeld)
	}
	l.suspect, l.denied = false, false
	l.renewed = later(l.renewed, asked)
	l.due, l.asked = l.renewed.Add(l.TTL/3), time.Time{}
	for _, s := range k.streams {
		s.forgetUnsentLocked(l)
	}
}

// overtakenLocked returns the streams on which the renewal was asked for long before, and that have said nothing since.
func (k *KeepAlive) overtakenLocked(by *keepAliveStream, r renewal) []*keepAliveStream {
	var overtaken []*keepAliveStream
	for _, s := range k.streams {
		if s == by || s.open == nil || by.open == nil || samePeer(s.open.Peer, by.open.Peer) {
			continue
		}
		i := slices.IndexFunc(s.pending, func(o renewal) bool { return o.lease == r.lease && o.sent })
		if i >= 0 && r.at.Sub(s.pending[i].at) >= r.lease.patienceLocked() && s.answeredAt.Before(s.pending[i].at) {
			overtaken = append(overtaken, s)
		}
	}
	return overtaken
}

func samePeer(a, b *peer.Peer) bool {
	return a != nil && b != nil && a.LocalAddr != nil && b.LocalAddr != nil &&
		a.Addr.String() == b.Addr.String() && a.LocalAddr.String() == b.LocalAddr.String()
}

// ended takes in why a stream has ended. What it hasn't answered is due again; the one that etcd refused isn't.
func (k *KeepAlive) ended(s *keepAliveStream, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.streams = slices.DeleteFunc(k.streams, func(o *keepAliveStream) bool { return o == s })
	left := s.pending
	if refusal := errors.Is(rpctypes.Error(err), rpctypes.ErrPermissionDenied); refusal && len(left) > 0 && left[0].sent {
		if l := left[0].lease; !l.stopped {
			k.dropLocked(l)
			close(l.refused)
			k.Changed(LeaseRefused)
		}
		left = left[1:]
		k.splitLocked(s.parent, left)
	} else if now := time.Now(); !s.retired && !now.Before(k.retryAt) { // several streams end at one time
		k.failures++
		k.retryAt = now.Add(k.Backoff(k.failures, rpctypes.Error(err)))
	}
	for _, r := range left {
		if !r.lease.stopped && !k.waitsLocked(r.lease) {
			r.lease.due, r.lease.asked = time.Time{}, time.Time{}
		}
	}
	k.wakeLocked()
}

// splitLocked asks for what a refusal has left unanswered on two streams, because others of it may be refused too, each
// of which ends a stream.
func (k *KeepAlive) splitLocked(ctx context.Context, left []renewal) {
	now := time.Now()
	for _, half := range [][]renewal{left[:len(left)/2], left[len(left)/2:]} {
		if len(half) == 0 || len(k.streams) >= maxStreams {
			continue
		}
		s := k.openLocked(ctx, nil)
		if s == nil {
			return
		}
		for _, r := range half {
			if !r.lease.stopped {
				r.lease.asked = now
				s.askLocked(r.lease, now)
			}
		}
	}
}

func (k *KeepAlive) waitsLocked(l *Lease) bool {
	return slices.ContainsFunc(k.streams, func(s *keepAliveStream) bool { return s.waitsForLocked(l) })
}
