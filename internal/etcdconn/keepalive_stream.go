package etcdconn

import (
	"context"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/peer"
)

// keepAliveStream is one stream of renewals. Its fields are under KeepAlive.mu, but for the constant ones.
type keepAliveStream struct {
	keepAlive *KeepAlive
	parent    context.Context // of the loop
	ctx       context.Context
	end       context.CancelFunc
	wake      chan struct{} // there is something to send

	open       *Stream       // nil while it is being opened
	retired    bool          // it isn't needed any more
	pending    []renewal     // in the order in which they are sent, which is that of the answers
	perAnswer  time.Duration // which the member takes for each of many
	answeredAt time.Time
	used       time.Time
}

// renewal is what was asked for.
type renewal struct {
	lease *Lease
	at    time.Time // when it was sent, or at first when it was to be
	sent  bool
}

func (s *keepAliveStream) askLocked(l *Lease, now time.Time) {
	s.pending = append(s.pending, renewal{lease: l, at: now})
	s.used = now
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *keepAliveStream) waitsForLocked(l *Lease) bool {
	return slices.ContainsFunc(s.pending, func(r renewal) bool { return r.lease == l })
}

// isLateLocked reports whether an answer is overdue.
func (s *keepAliveStream) isLateLocked(now time.Time) bool {
	return len(s.pending) > 0 && now.Sub(s.pending[0].at) >= s.pending[0].lease.patienceLocked()
}

// forgetUnsentLocked takes a lease off that needn't be asked for any more. What was sent stays, for the order of the
// answers.
func (s *keepAliveStream) forgetUnsentLocked(l *Lease) {
	s.pending = slices.DeleteFunc(s.pending, func(r renewal) bool { return r.lease == l && !r.sent })
}

// takeLocked takes what an answer is for off the list.
func (s *keepAliveStream) takeLocked(id int64, now time.Time) (renewal, bool) {
	i := slices.IndexFunc(s.pending, func(r renewal) bool { return r.lease.ID == id && r.sent })
	if i < 0 {
		return renewal{}, false
	}
	r := s.pending[i]
	s.pending = slices.Delete(s.pending, i, i+1)
	if r.at.Before(s.answeredAt) { // it waited behind the one before, so this is the time for one
		s.perAnswer = (7*s.perAnswer + now.Sub(s.answeredAt)) / 8
	}
	s.answeredAt, s.used = now, now
	return r, true
}

// run opens the stream and receives answers until it ends.
func (s *keepAliveStream) run(avoid []*peer.Peer) {
	defer s.end()
	k := s.keepAlive
	stream, err := k.Open(s.ctx, avoid)
	if err != nil {
		k.ended(s, err)
		return
	}
	defer stream.Close()
	k.opened(s, stream)
	sent := make(chan struct{})
	if !k.Go(func() { defer close(sent); s.send(stream) }) {
		close(sent)
	}
	err = s.receive(stream)
	s.end()
	stream.Close()
	<-sent
	stream.Failed(err)
	k.ended(s, err)
}

func (s *keepAliveStream) receive(stream *Stream) error {
	for {
		a, err := stream.Recv()
		if err != nil {
			return err
		}
		stream.Answered(a.Header)
		for _, silent := range s.keepAlive.answered(s, a) {
			silent.open.Silent()
		}
	}
}

// send sends what is to be asked for until the stream ends.
func (s *keepAliveStream) send(stream *Stream) {
	for {
		for id, more := s.nextUnsent(); more; id, more = s.nextUnsent() {
			if stream.Send(&pb.LeaseKeepAliveRequest{ID: id}) != nil {
				return // receive is told why
			}
		}
		select {
		case <-s.wake:
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *keepAliveStream) nextUnsent() (id int64, more bool) {
	k := s.keepAlive
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(s.pending, func(r renewal) bool { return !r.sent })
	if i < 0 {
		return 0, false
	}
	now := time.Now()
	s.pending[i].sent, s.pending[i].at = true, now
	return s.pending[i].lease.ID, true
}
