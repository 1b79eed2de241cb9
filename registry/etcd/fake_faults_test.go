package etcd

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

// fault answers requests instead of the etcd, or on its behalf.
type fault struct {
	hits  func(method string, request any) bool
	serve func(ctx context.Context, answer func() (any, error)) (any, error)
	left  int // how many requests more, if not negative
}

// faultFor returns the fault that a request meets. It needs mu.
func (e *fakeEtcd) faultFor(method string, request any) *fault {
	for _, f := range e.faults {
		if f.left != 0 && f.hits(method, request) {
			f.left--
			return f
		}
	}
	return nil
}

// on makes a fault meet some requests until the returned function is called.
func (e *fakeEtcd) on(hits func(string, any) bool, times int, serve func(context.Context, func() (any, error)) (any, error)) (end func()) {
	f := &fault{hits: hits, serve: serve, left: times}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = append(e.faults, f)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		f.left = 0
	}
}

const always = -1

// What requests can be about.

func anything(string, any) bool { return true }

func grants(method string, _ any) bool { return method == "LeaseGrant" }

func renewals(method string, _ any) bool { return method == "LeaseKeepAlive" }

func reads(method string, _ any) bool { return method == "Range" }

func watches(method string, _ any) bool { return method == "Watch" }

func puts(_ string, request any) bool {
	return does(request, func(op *pb.RequestOp) bool { return op.GetRequestPut() != nil })
}

func deletes(_ string, request any) bool {
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

func either(of ...func(string, any) bool) func(string, any) bool {
	return func(method string, request any) bool {
		for _, hits := range of {
			if hits(method, request) {
				return true
			}
		}
		return false
	}
}

// refuse answers requests with an error.
func (e *fakeEtcd) refuse(hits func(string, any) bool, err error) (end func()) {
	return e.on(hits, always, func(context.Context, func() (any, error)) (any, error) { return nil, err })
}

// forbid refuses to write below a prefix. As etcd does, it refuses to renew or revoke a lease with a key there too; a refused
// renewal ends the stream.
func (e *fakeEtcd) forbid(prefix string) (permit func()) {
	below := func(key []byte) bool { return strings.HasPrefix(string(key), prefix) }
	return e.refuse(func(_ string, request any) bool {
		if r, ok := request.(interface{ GetID() int64 }); ok { // a renewal, or a revoke
			return slices.ContainsFunc(e.store.keysOf(r.GetID()), func(kv *mvccpb.KeyValue) bool { return below(kv.Key) })
		}
		return does(request, func(op *pb.RequestOp) bool {
			return below(op.GetRequestPut().GetKey()) || below(op.GetRequestDeleteRange().GetKey())
		})
	}, rpctypes.ErrGRPCPermissionDenied)
}

// fill raises the alarm that the database is too big: what needs space is refused.
func (e *fakeEtcd) fill() (free func()) {
	return e.refuse(either(grants, puts), rpctypes.ErrGRPCNoSpace)
}

// ignore leaves the next few requests without an answer, and undone.
func (e *fakeEtcd) ignore(hits func(string, any) bool, times int) (end func()) {
	return e.on(hits, times, func(ctx context.Context, _ func() (any, error)) (any, error) {
		e.wait(ctx, time.Hour)
		return nil, status.FromContextError(ctx.Err()).Err()
	})
}

// loseAnswers does the next few requests and doesn't say so.
func (e *fakeEtcd) loseAnswers(hits func(string, any) bool, times int) (end func()) {
	return e.on(hits, times, func(ctx context.Context, answer func() (any, error)) (any, error) {
		_, _ = answer()
		e.wait(ctx, time.Hour)
		return nil, status.FromContextError(ctx.Err()).Err()
	})
}

// delayPast does the next few requests some time after whoever asked has given up.
func (e *fakeEtcd) delayPast(hits func(string, any) bool, times int, after time.Duration) (end func()) {
	return e.on(hits, times, func(ctx context.Context, answer func() (any, error)) (any, error) {
		e.wait(ctx, time.Hour)
		e.wait(context.Background(), after)
		return answer()
	})
}

// wait waits until ctx ends, or for some time, or until the test is over.
func (e *fakeEtcd) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-e.over:
	}
}

// denyLease answers the next few keepalives as if there were no such lease.
func (e *fakeEtcd) denyLease(times int) (end func()) {
	return e.alterRenewals(times, func(answer *pb.LeaseKeepAliveResponse) { answer.TTL = 0 })
}

// alterRenewals changes what the next few keepalives are told.
func (e *fakeEtcd) alterRenewals(times int, alter func(*pb.LeaseKeepAliveResponse)) (end func()) {
	return e.on(renewals, times, func(_ context.Context, answer func() (any, error)) (any, error) {
		a, err := answer()
		if err == nil {
			alter(a.(*pb.LeaseKeepAliveResponse))
		}
		return a, err
	})
}

// endStreams ends every stream of watches and keepalives with an error.
func (e *fakeEtcd) endStreams(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.streams {
		s.end(err)
	}
}

var errUnavailable = status.Error(codes.Unavailable, "transport is closing")

// requestTime is how long etcd works on a request (server/v3 config, ReqTimeout).
const requestTime = 7 * time.Second

// loseLeader takes the member's leader away: streams end, requests time out.
func (e *fakeEtcd) loseLeader() (elect func()) {
	streams := e.refuse(watches, rpctypes.ErrGRPCNoLeader)
	requests := e.on(anything, always, func(ctx context.Context, _ func() (any, error)) (any, error) {
		e.wait(ctx, requestTime)
		return nil, rpctypes.ErrGRPCTimeout
	})
	e.freeze()
	e.endStreams(rpctypes.ErrGRPCNoLeader)
	return func() {
		streams()
		requests()
		e.thaw()
	}
}

// freeze stops the clock of leases, and thaw starts it again with their full TTL, in a new
// term, as a new leader does.
func (e *fakeEtcd) freeze() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.paused = true
}

func (e *fakeEtcd) thaw() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.paused = false
	e.store.term++
	for _, l := range e.store.leases {
		l.renew()
	}
	e.scheduleExpiry()
}

// stop and start are of the whole etcd, whose data survives.
func (e *fakeEtcd) stop() {
	e.freeze()
	e.cut()
}

func (e *fakeEtcd) start() {
	e.thaw()
	e.mend()
}

// replaceData restarts etcd with other data in its directory.
func (e *fakeEtcd) replaceData(with *fakeStore) {
	e.stop()
	e.swapData(with)
	e.start()
}

// swapData replaces the data without anybody noticing by their connections.
func (e *fakeEtcd) swapData(with *fakeStore) {
	e.mu.Lock()
	defer e.mu.Unlock()
	with.granted = e.store.granted + 1000
	with.term = 1 // that is 2 after a start
	e.store = with
}

// wipe takes etcd's data away. It keeps its cluster id, which comes of its settings.
func (e *fakeEtcd) wipe() { e.replaceData(newFakeStore(e.store.cluster)) }

// restore restarts etcd from a snapshot, plainly: revisions go on from there.
func (e *fakeEtcd) restore(s *fakeStore) { e.replaceData(s.snapshot()) }

// moveCluster puts another cluster at the same address.
func (e *fakeEtcd) moveCluster() { e.replaceData(newFakeStore(e.store.cluster + 1)) }

// grow makes etcd reach a revision, by what concerns nobody.
func (e *fakeEtcd) grow(revision int64) {
	for e.revision() < revision {
		e.put("/elsewhere", "", 0)
	}
}

func (e *fakeEtcd) snapshot() *fakeStore {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.store.snapshot()
}

// cancelWatches ends every watch, but not its stream.
func (e *fakeEtcd) cancelWatches(reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for w := range e.watches {
		w.cancel(reason)
	}
}

// cancelWatchesOf ends the watches that begin at a key.
func (e *fakeEtcd) cancelWatchesOf(key, reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for w := range e.watches {
		if string(w.first) == key {
			w.cancel(reason)
		}
	}
}

// expireTokens makes the streams there are refuse new watches for ever, and nothing else.
func (e *fakeEtcd) expireTokens() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.streams {
		s.expired = true
	}
}

// mute makes watches miss what happens until they are unmuted, and for ever.
func (e *fakeEtcd) mute(muted bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.muted = muted
}

// compactNow compacts everything but the present.
func (e *fakeEtcd) compactNow() {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.store.compact(e.store.revision)
}

// What somebody else does to keys and leases.

func (e *fakeEtcd) put(key, value string, lease int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.change(func(s *fakeStore) error {
		s.put(&pb.PutRequest{Key: []byte(key), Value: []byte(value), Lease: lease})
		return nil
	})
}

// remove deletes everything below a prefix in one revision.
func (e *fakeEtcd) remove(prefix string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	end := append([]byte(prefix[:len(prefix)-1]), prefix[len(prefix)-1]+1)
	_ = e.change(func(s *fakeStore) error {
		s.delete(&pb.DeleteRangeRequest{Key: []byte(prefix), RangeEnd: end})
		return nil
	})
}

// lease grants one to somebody else, who may renew it for ever.
func (e *fakeEtcd) lease(seconds int64) (id int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.change(func(s *fakeStore) error {
		answer, err := s.grant(&pb.LeaseGrantRequest{TTL: seconds})
		id = answer.ID
		return err
	})
	return id
}

// revokeAll ends every lease, each in a revision of its own, as expiry does.
func (e *fakeEtcd) revokeAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range e.store.leases {
		_ = e.change(func(s *fakeStore) error { return s.revoke(id) })
	}
}

func (e *fakeEtcd) revoke(id int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.change(func(s *fakeStore) error { return s.revoke(id) })
}
