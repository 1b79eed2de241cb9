package etcd

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// renewalStream is the stream on which the etcd client renews all leases. It goes on when etcd refuses one of them.
//
// etcd doesn't renew a lease with a key that its user may not write, and says so by ending the stream (server/v3
// v3rpc/lease.go, leaseKeepAlive). The etcd client then waits for half a second and asks for all that are due again, in
// random order, the refused one among them (client/v3 lease.go, recvKeepAliveLoop): so the healthy ones wait, and run
// out. Here the refused one gets an answer instead, and the others are asked for again at once.
type renewalStream struct {
	ctx   context.Context
	open  func() (keepalives, error)
	ended bool // etcd has ended the stream, with a refusal; for Recv

	mu         sync.Mutex
	keepalives           // the stream in use; only Recv replaces it
	unanswered []renewal // in the order in which they were first asked for, which is that of the answers
}

// renewal is what was asked for.
type renewal struct {
	id int64 // of the lease
	at time.Time
}

// patience is for how long an answer isn't taken for lost. The etcd client alone would ask again after half a second.
const patience = 2 * time.Second

type keepalives = pb.Lease_LeaseKeepAliveClient

// refusal stands in for an answer's header when etcd refuses to renew the lease. The etcd client passes it on.
var refusal = &pb.ResponseHeader{}

// refusalTTL is for how long an etcd client that got a refusal won't ask again, at least. Until then it is told to
// forget the lease.
const refusalTTL = 3 * time.Minute

// newRenewals returns what keeps leases alive by such a stream. It works with any client. One that is lent to us is
// renewing for its owner too, on a stream of its own.
func newRenewals(client *clientv3.Client, gate func() error, heed func(error)) clientv3.Lease {
	return clientv3.NewLeaseFromLeaseClient(leaseClient{clientv3.RetryLeaseClient(client), gate, heed}, client, dialTimeout+time.Second)
}

type leaseClient struct {
	pb.LeaseClient
	gate func() error // says no if etcd had better not be asked
	heed func(error)  // learns what came of asking
}

// LeaseKeepAlive opens the stream, which the etcd client tries twice a second. With a password each try costs etcd an
// authentication.
func (c leaseClient) LeaseKeepAlive(ctx context.Context, opts ...grpc.CallOption) (keepalives, error) {
	r := &renewalStream{ctx: ctx, open: func() (keepalives, error) {
		if err := c.gate(); err != nil {
			return nil, err
		}
		stream, err := c.LeaseClient.LeaseKeepAlive(ctx, opts...)
		c.heed(rpctypes.Error(err))
		return stream, err
	}}
	if err := r.reopen(); err != nil {
		return nil, err
	}
	return r, nil
}

// Context doesn't end with a stream that is replaced.
func (r *renewalStream) Context() context.Context { return r.ctx }

// Send asks for a renewal, unless it has just been asked for.
func (r *renewalStream) Send(request *pb.LeaseKeepAliveRequest) error {
	stream, fresh := r.ask(request.ID)
	if !fresh {
		return nil
	}
	if err := stream.Send(request); !errors.Is(err, io.EOF) {
		return err
	}
	return nil // Recv is told why the stream has ended, and what becomes of the request
}

// ask takes note of what is going to be asked, unless it has just been, and returns the stream for it.
func (r *renewalStream) ask(id int64) (stream keepalives, fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.index(id)
	switch {
	case i < 0:
		r.unanswered = append(r.unanswered, renewal{id, time.Now()})
	case time.Since(r.unanswered[i].at) < patience:
		return nil, false
	default: // where it is: what was asked first is answered first
		r.unanswered[i].at = time.Now()
	}
	return r.keepalives, true
}

func (r *renewalStream) index(id int64) int {
	return slices.IndexFunc(r.unanswered, func(one renewal) bool { return one.id == id })
}

func (r *renewalStream) forget(id int64) {
	if i := r.index(id); i >= 0 {
		r.unanswered = slices.Delete(r.unanswered, i, i+1)
	}
}

// Recv returns an answer, which is a refusal if etcd has ended the stream with that.
func (r *renewalStream) Recv() (*pb.LeaseKeepAliveResponse, error) {
	if r.ended {
		if err := r.reopen(); err != nil {
			return nil, err
		}
		r.ended = false
	}
	answer, err := r.keepalives.Recv()
	r.mu.Lock()
	defer r.mu.Unlock()
	if denied(rpctypes.Error(err)) && len(r.unanswered) > 0 {
		r.ended = true
		answer, err = &pb.LeaseKeepAliveResponse{Header: refusal, ID: r.unanswered[0].id, TTL: int64(refusalTTL / time.Second)}, nil
	}
	if err != nil {
		return nil, err
	}
	r.forget(answer.ID)
	return answer, nil
}

// maxRepeated bounds how much is asked for again with nobody reading answers: flow control would stop etcd, and then us.
// The etcd client repeats the rest.
const maxRepeated = 1000

// reopen opens a stream and asks for what is unanswered.
func (r *renewalStream) reopen() error {
	stream, err := r.open()
	if err != nil {
		return err
	}
	stream.Context() // asking commits it: else gRPC may repeat it by itself, and hold up Send as long as there is no connection
	for repeated := 0; ; repeated++ {
		id, more := r.next(stream, repeated)
		if !more {
			return nil
		}
		_ = stream.Send(&pb.LeaseKeepAliveRequest{ID: id}) // Recv is told
	}
}

// next returns what is to be asked for next. When there is nothing left, a stream takes over.
func (r *renewalStream) next(stream keepalives, repeated int) (id int64, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if repeated < min(len(r.unanswered), maxRepeated) {
		r.unanswered[repeated].at = time.Now()
		return r.unanswered[repeated].id, true
	}
	r.unanswered = r.unanswered[:repeated]
	r.keepalives = stream
	return 0, false
}
