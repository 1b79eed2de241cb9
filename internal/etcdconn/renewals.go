package etcdconn

import (
	"context"
	"errors"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Renewals renews leases at one etcd client. A member works off what it is asked on a stream one by one, a follower by
// asking the leader, and it refuses a lease by ending the stream (server/v3 v3rpc/lease.go, leaseKeepAlive). So each
// renewal has a stream for itself until it is answered. A few streams are kept for those that follow.
type Renewals struct {
	// Open opens a stream. It may wait for a connection.
	Open func(context.Context) (pb.Lease_LeaseKeepAliveClient, error)
	// Context bounds all streams.
	Context context.Context

	mu   sync.Mutex
	idle []*renewalStream // the one that was used last is at the end
}

type renewalStream struct {
	pb.Lease_LeaseKeepAliveClient // nil until it is open
	ctx                           context.Context
	end                           context.CancelFunc
	pick                          *Pick // of its member
}

// maxIdleStreams is how many streams are kept: the leases of one process are due at different times.
const maxIdleStreams = 2

var errMisdelivered = errors.New("etcd renewed another lease than it was asked to")

// Renew asks for a renewal once. With fresh it does so on a new stream: one that was kept leads to the member that may
// not have answered just now.
func (r *Renewals) Renew(ctx context.Context, id int64, fresh bool) (*pb.LeaseKeepAliveResponse, error) {
	s := r.take(fresh, pickOf(ctx))
	stop := context.AfterFunc(ctx, s.end)
	answer, err := r.ask(ctx, s, id)
	if !stop() { // ctx has ended, and with it the stream
		return nil, context.Cause(ctx)
	}
	if err != nil {
		s.end()
		return nil, err
	}
	r.keep(s)
	return answer, nil
}

func (r *Renewals) ask(ctx context.Context, s *renewalStream, id int64) (answer *pb.LeaseKeepAliveResponse, err error) {
	if s.Lease_LeaseKeepAliveClient == nil {
		if s.Lease_LeaseKeepAliveClient, err = r.Open(s.ctx); err != nil {
			return nil, err
		}
	}
	pickOf(ctx).choose(s.pick.Member())
	_ = s.Send(&pb.LeaseKeepAliveRequest{ID: id}) // Recv says why, if that fails
	if answer, err = s.Recv(); err != nil {
		return nil, err
	}
	if answer.ID != id {
		return nil, errMisdelivered
	}
	return answer, nil
}

func (r *Renewals) take(fresh bool, p *Pick) *renewalStream {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := len(r.idle) - 1; last >= 0 && !fresh {
		s := r.idle[last]
		r.idle = r.idle[:last]
		return s
	}
	s := &renewalStream{pick: p}
	s.ctx, s.end = context.WithCancel(WithPick(r.Context, p))
	return s
}

func (r *Renewals) keep(s *renewalStream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.idle) < maxIdleStreams {
		r.idle = append(r.idle, s)
	} else {
		s.end()
	}
}
