package etcdfake

import (
	"context"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// This file is what tests can make a fake etcd do or suffer, beside what its network can.

// On makes a fault meet some requests until the returned function is called.
func (e *Server) On(
	hits func(string, any) bool, times int, serve func(context.Context, func() (any, error)) (any, error),
) (end func()) {
	f := &fault{hits: hits, serve: serve, left: times}
	e.Mu.Lock()
	defer e.Mu.Unlock()
	e.faults = append(e.faults, f)
	return func() {
		e.Mu.Lock()
		defer e.Mu.Unlock()
		f.left = 0
	}
}

// Always is how often a fault hits without end.
const Always = -1

// What requests can be about.

// Anything hits every request.
func Anything(string, any) bool { return true }

// Grants hits requests for a lease.
func Grants(method string, _ any) bool { return method == "LeaseGrant" }

// Revokes hits requests to end a lease.
func Revokes(method string, _ any) bool { return method == "LeaseRevoke" }

// Renewals hits renewals of leases.
func Renewals(method string, _ any) bool { return method == "LeaseKeepAlive" }

// Reads hits reads.
func Reads(method string, _ any) bool { return method == "Range" }

// Watches hits requests to open or cancel a watch.
func Watches(method string, _ any) bool { return method == "Watch" }

// Puts hits what puts, or may put.
func Puts(_ string, request any) bool {
	return does(request, func(op *pb.RequestOp) bool { return op.GetRequestPut() != nil })
}

// Deletes hits what deletes, or may delete.
func Deletes(_ string, request any) bool {
	return does(request, func(op *pb.RequestOp) bool { return op.GetRequestDeleteRange() != nil })
}

// does reports whether a request is, or may come to, an operation of a kind.
func does(request any, kind func(*pb.RequestOp) bool) bool {
	switch r := request.(type) {
	case *pb.PutRequest:
		return kind(&pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}})
	case *pb.DeleteRangeRequest:
		return kind(&pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}})
	case *pb.TxnRequest:
		for _, op := range slices.Concat(r.Success, r.Failure) {
			if kind(op) || op.GetRequestTxn() != nil && does(op.GetRequestTxn(), kind) {
				return true
			}
		}
	}
	return false
}

// Either hits what one of several hits.
func Either(of ...func(string, any) bool) func(string, any) bool {
	return func(method string, request any) bool {
		for _, hits := range of {
			if hits(method, request) {
				return true
			}
		}
		return false
	}
}

// Refuse answers requests with an error.
func (e *Server) Refuse(hits func(string, any) bool, err error) (end func()) {
	return e.On(hits, Always, func(context.Context, func() (any, error)) (any, error) { return nil, err })
}

// Forbid refuses to write below a prefix. As etcd does, it refuses to renew or revoke a lease with a key there too; a
// refused renewal ends the stream.
func (e *Server) Forbid(prefix string) (permit func()) {
	below := func(key []byte) bool { return strings.HasPrefix(string(key), prefix) }
	return e.Refuse(func(_ string, request any) bool {
		if r, ok := request.(interface{ GetID() int64 }); ok { // a renewal, or a revoke
			return slices.ContainsFunc(e.Store.keysOf(r.GetID()), func(kv *mvccpb.KeyValue) bool { return below(kv.Key) })
		}
		return does(request, func(op *pb.RequestOp) bool {
			return below(op.GetRequestPut().GetKey()) || below(op.GetRequestDeleteRange().GetKey())
		})
	}, rpctypes.ErrGRPCPermissionDenied)
}

// Fill raises the alarm that the database is too big: what needs space is refused.
func (e *Server) Fill() (free func()) {
	return e.Refuse(Either(Grants, Puts), rpctypes.ErrGRPCNoSpace)
}

// Ignore leaves the next few requests without an answer, and undone.
func (e *Server) Ignore(hits func(string, any) bool, times int) (end func()) {
	return e.On(hits, times, func(ctx context.Context, _ func() (any, error)) (any, error) {
		e.Wait(ctx, time.Hour)
		return nil, status.FromContextError(ctx.Err()).Err()
	})
}

// LoseAnswers does the next few requests and doesn't say so.
func (e *Server) LoseAnswers(hits func(string, any) bool, times int) (end func()) {
	return e.On(hits, times, func(ctx context.Context, answer func() (any, error)) (any, error) {
		_, _ = answer()
		e.Wait(ctx, time.Hour)
		return nil, status.FromContextError(ctx.Err()).Err()
	})
}

// DelayPast does the next few requests some time after whoever asked has given up.
func (e *Server) DelayPast(hits func(string, any) bool, times int, after time.Duration) (end func()) {
	return e.On(hits, times, func(ctx context.Context, answer func() (any, error)) (any, error) {
		e.Wait(ctx, time.Hour)
		e.Wait(context.Background(), after)
		return answer()
	})
}

// Wait waits until ctx ends, or for some time, or until the test is over.
func (e *Server) Wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-e.over:
	}
}

// DenyLease answers the next few keepalives as if there were no such lease.
func (e *Server) DenyLease(times int) (end func()) {
	return e.AlterRenewals(times, func(answer *pb.LeaseKeepAliveResponse) { answer.TTL = 0 })
}

// AlterRenewals changes what the next few keepalives are told.
func (e *Server) AlterRenewals(times int, alter func(*pb.LeaseKeepAliveResponse)) (end func()) {
	return e.On(Renewals, times, func(_ context.Context, answer func() (any, error)) (any, error) {
		a, err := answer()
		if err == nil {
			alter(a.(*pb.LeaseKeepAliveResponse))
		}
		return a, err
	})
}

// EndStreams ends every stream of watches and keepalives with an error.
func (e *Server) EndStreams(err error) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	for s := range e.streams {
		s.end(err)
	}
}

// ErrUnavailable is what gRPC says of a member that is gone.
var ErrUnavailable = status.Error(codes.Unavailable, "transport is closing")

// requestTime is how long etcd works on a request (server/v3 config, ReqTimeout).
const requestTime = 7 * time.Second

// LoseLeader takes the member's leader away: streams end, requests time out.
func (e *Server) LoseLeader() (elect func()) {
	streams := e.Refuse(Watches, rpctypes.ErrGRPCNoLeader)
	requests := e.On(Anything, Always, func(ctx context.Context, _ func() (any, error)) (any, error) {
		e.Wait(ctx, requestTime)
		return nil, rpctypes.ErrGRPCTimeout
	})
	e.freeze()
	e.EndStreams(rpctypes.ErrGRPCNoLeader)
	return func() {
		streams()
		requests()
		e.thaw()
	}
}

// freeze stops the clock of leases, and thaw starts it again with their full TTL, in a new term, as a new leader does.
func (e *Server) freeze() {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	e.paused = true
}

func (e *Server) thaw() {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	e.paused = false
	e.Store.term++
	for _, l := range e.Store.Leases {
		l.renew()
	}
	e.scheduleExpiry()
}

// Stop and start are of the whole etcd, whose data survives.
func (e *Server) Stop() {
	e.freeze()
	e.Cut()
}

// Start ends what Stop began.
func (e *Server) Start() {
	e.thaw()
	e.Mend()
}

// ReplaceData restarts etcd with other data in its directory.
func (e *Server) ReplaceData(with *Store) {
	e.Stop()
	e.SwapData(with)
	e.Start()
}

// SwapData replaces the data without anybody noticing by their connections.
func (e *Server) SwapData(with *Store) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	with.granted = e.Store.granted + 1000
	with.term = 1 // that is 2 after a start
	e.Store = with
}

// Wipe takes etcd's data away. It keeps its cluster id, which comes of its settings.
func (e *Server) Wipe() { e.ReplaceData(NewStore(e.Store.Cluster)) }

// Restore restarts etcd from a snapshot, plainly: revisions go on from there.
func (e *Server) Restore(s *Store) { e.ReplaceData(s.Snapshot()) }

// MoveCluster puts another cluster at the same address.
func (e *Server) MoveCluster() { e.ReplaceData(NewStore(e.Store.Cluster + 1)) }

// Grow makes etcd reach a revision, by what concerns nobody.
func (e *Server) Grow(revision int64) {
	for e.Revision() < revision {
		e.PutKey("/elsewhere", "", 0)
	}
}

// Snapshot returns a copy of the data.
func (e *Server) Snapshot() *Store {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	return e.Store.Snapshot()
}

// CancelWatches ends every watch, but not its stream.
func (e *Server) CancelWatches(reason string) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	for w := range e.Watches {
		w.cancel(reason)
	}
}

// CancelWatchesOf ends the watches that begin at a key.
func (e *Server) CancelWatchesOf(key, reason string) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	for w := range e.Watches {
		if string(w.first) == key {
			w.cancel(reason)
		}
	}
}

// ExpireTokens makes the streams there are refuse new watches for ever, and nothing else.
func (e *Server) ExpireTokens() {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	for s := range e.streams {
		s.expired = true
	}
}

// Mute makes watches miss what happens until they are unmuted, and for ever.
func (e *Server) Mute(muted bool) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	e.muted = muted
}

// CompactNow compacts everything but the present.
func (e *Server) CompactNow() {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	_ = e.Store.compact(e.Store.Revision)
}

// What somebody else does to keys and leases.

// PutKey puts a value, on a lease if it isn't 0.
func (e *Server) PutKey(key, value string, lease int64) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	_ = e.change(func(s *Store) error {
		s.put(&pb.PutRequest{Key: []byte(key), Value: []byte(value), Lease: lease})
		return nil
	})
}

// Remove deletes everything below a prefix in one revision.
func (e *Server) Remove(prefix string) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	end := append([]byte(prefix[:len(prefix)-1]), prefix[len(prefix)-1]+1)
	_ = e.change(func(s *Store) error {
		s.delete(&pb.DeleteRangeRequest{Key: []byte(prefix), RangeEnd: end})
		return nil
	})
}

// GrantLease grants one to somebody else, who may renew it for ever.
func (e *Server) GrantLease(seconds int64) (id int64) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	_ = e.change(func(s *Store) error {
		answer, err := s.grant(&pb.LeaseGrantRequest{TTL: seconds})
		id = answer.ID
		return err
	})
	return id
}

// RevokeAll ends every lease, each in a revision of its own, as expiry does.
func (e *Server) RevokeAll() {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	for id := range e.Store.Leases {
		_ = e.change(func(s *Store) error { return s.revoke(id) })
	}
}

// Revoke revokes a lease.
func (e *Server) Revoke(id int64) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	_ = e.change(func(s *Store) error { return s.revoke(id) })
}
