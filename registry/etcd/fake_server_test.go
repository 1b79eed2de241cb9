package etcd

import (
	"context"
	"path"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
)

// fakeEtcd is a scripted etcd of one member, which real clients talk to over gRPC. It answers
// as etcd does (test/fake compares them), but for what its faults make it do.
type fakeEtcd struct {
	pb.UnimplementedKVServer
	pb.UnimplementedLeaseServer
	pb.UnimplementedWatchServer
	*fakeNetwork

	server *grpc.Server
	over   chan struct{} // closed at the end of the test

	keepalives atomic.Int64 // streams for them that were ever opened

	mu      sync.Mutex
	store   *fakeStore
	streams map[*fakeStream]struct{}
	watches map[*fakeWatch]struct{}
	muted   bool // watches are told nothing, and never will be of this time
	expiry  *time.Timer
	paused  bool // no lease expires, as long as etcd is down
	faults  []*fault
	asked   map[string]int // requests, by method
}

func newFakeEtcd(t *testing.T) *fakeEtcd {
	e := &fakeEtcd{
		fakeNetwork: newFakeNetwork(),
		over:        make(chan struct{}),
		store:       newFakeStore(1),
		streams:     make(map[*fakeStream]struct{}),
		watches:     make(map[*fakeWatch]struct{}),
		asked:       make(map[string]int),
	}
	e.server = grpc.NewServer(
		grpc.UnaryInterceptor(e.unary),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}), // as etcd's
	)
	pb.RegisterKVServer(e.server, e)
	pb.RegisterLeaseServer(e.server, e)
	pb.RegisterWatchServer(e.server, e)
	served := make(chan error, 1)
	go func() { served <- e.server.Serve(e.fakeNetwork) }()
	t.Cleanup(func() {
		close(e.over)
		e.server.Stop()
		require.NoError(t, <-served)
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.expiry != nil {
			e.expiry.Stop()
		}
	})
	return e
}

// newClient returns a client with the settings that the registry gives its own.
func (e *fakeEtcd) newClient(t *testing.T) *clientv3.Client {
	config := etcdconn.Config{Endpoints: []string{"http://fake:2379"}}.Etcd()
	config.DialOptions = append(config.DialOptions, grpc.WithContextDialer(e.dial), grpc.WithChainStreamInterceptor(commit))
	client, err := clientv3.New(config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// commit keeps gRPC from repeating a stream by itself (stream.go, retryLocked): it would hold the stream's mutex until there
// is a connection, and virtual time doesn't pass while somebody waits for a mutex.
func commit(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, cc, method, opts...)
	if err == nil {
		stream.Context() // commits
	}
	return stream, err
}

// newRegistry returns a registry that is closed, if it isn't yet, when the test ends.
func (e *fakeEtcd) newRegistry(t *testing.T, opts ...registry.Option) (*Registry, *recorder) {
	logs := &recorder{}
	r, err := New(append([]registry.Option{Client(e.newClient(t)), registry.Logger(logs)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r, logs
}

// handle answers a request, unless a fault does.
func (e *fakeEtcd) handle(ctx context.Context, method string, request any, answer func() (any, error)) (any, error) {
	e.mu.Lock()
	e.asked[method]++
	f := e.faultFor(method, request)
	e.mu.Unlock()
	if f != nil {
		return f.serve(ctx, answer)
	}
	return answer()
}

func (e *fakeEtcd) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return e.handle(ctx, path.Base(info.FullMethod), request, func() (any, error) { return handler(ctx, request) })
}

// change does something to the store and tells the watches. It needs mu.
func (e *fakeEtcd) change(do func(*fakeStore) error) error {
	err := do(e.store)
	events := e.store.commit()
	for w := range e.watches {
		w.notify(events)
	}
	e.scheduleExpiry()
	return err
}

func (e *fakeEtcd) scheduleExpiry() {
	if e.expiry != nil {
		e.expiry.Stop()
	}
	var next time.Time
	for _, l := range e.store.leases {
		if next.IsZero() || l.expires.Before(next) {
			next = l.expires
		}
	}
	if !next.IsZero() && !e.paused {
		e.expiry = time.AfterFunc(time.Until(next), e.expire)
	}
}

// expire revokes the leases that have run out, each in a revision of its own.
func (e *fakeEtcd) expire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, l := range e.store.leases {
		if !e.paused && !time.Now().Before(l.expires) {
			_ = e.change(func(s *fakeStore) error { return s.revoke(id) })
		}
	}
}

// do makes a change that is a request's, and returns the header of its answer.
func (e *fakeEtcd) do(do func(*fakeStore) error) (*pb.ResponseHeader, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.change(do)
	return e.store.header(), err
}

func (e *fakeEtcd) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.store.read(r)
}

func (e *fakeEtcd) Put(_ context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	header, err := e.do(func(s *fakeStore) error {
		if s.missing(r.Lease) {
			return rpctypes.ErrGRPCLeaseNotFound
		}
		s.put(r)
		return nil
	})
	return &pb.PutResponse{Header: header}, err
}

func (e *fakeEtcd) DeleteRange(_ context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	var answer *pb.DeleteRangeResponse
	header, err := e.do(func(s *fakeStore) error {
		answer = s.delete(r)
		return nil
	})
	answer.Header = header
	return answer, err
}

func (e *fakeEtcd) Txn(_ context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	var answer *pb.TxnResponse
	header, err := e.do(func(s *fakeStore) (err error) {
		answer, err = s.txn(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	answer.Header = header
	return answer, nil
}

func (e *fakeEtcd) Compact(_ context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	header, err := e.do(func(s *fakeStore) error { return s.compact(r.Revision) })
	return &pb.CompactionResponse{Header: header}, err
}

func (e *fakeEtcd) LeaseGrant(_ context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	var answer *pb.LeaseGrantResponse
	header, err := e.do(func(s *fakeStore) (err error) {
		answer, err = s.grant(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	answer.Header = header
	return answer, nil
}

func (e *fakeEtcd) LeaseRevoke(_ context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	header, err := e.do(func(s *fakeStore) error { return s.revoke(r.ID) })
	return &pb.LeaseRevokeResponse{Header: header}, err
}

func (e *fakeEtcd) LeaseTimeToLive(_ context.Context, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	answer := &pb.LeaseTimeToLiveResponse{Header: e.store.header(), ID: r.ID, TTL: -1}
	if l := e.store.leases[r.ID]; l != nil {
		answer.TTL, answer.GrantedTTL = int64(time.Until(l.expires)/time.Second), l.seconds
		for _, kv := range e.store.keysOf(r.ID) {
			if r.Keys {
				answer.Keys = append(answer.Keys, kv.Key)
			}
		}
	}
	return answer, nil
}

func (e *fakeEtcd) LeaseKeepAlive(s pb.Lease_LeaseKeepAliveServer) error {
	e.keepalives.Add(1)
	return e.serveStream(s, func(stream *fakeStream) error {
		for {
			r, err := s.Recv()
			if err != nil {
				return err
			}
			answer, err := e.handle(stream.ctx, "LeaseKeepAlive", r, func() (any, error) { return e.renew(r), nil })
			if err != nil {
				return err
			}
			if err := s.Send(answer.(*pb.LeaseKeepAliveResponse)); err != nil {
				return err
			}
		}
	})
}

func (e *fakeEtcd) renew(r *pb.LeaseKeepAliveRequest) *pb.LeaseKeepAliveResponse {
	e.mu.Lock()
	defer e.mu.Unlock()
	answer := &pb.LeaseKeepAliveResponse{Header: e.store.header(), ID: r.ID}
	if l := e.store.leases[r.ID]; l != nil {
		l.renew()
		answer.TTL = l.seconds
		e.scheduleExpiry()
	}
	return answer
}
