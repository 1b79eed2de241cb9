package etcdfake

import (
	"context"
	"path"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
)

// Server is a scripted etcd of one member, which real clients talk to over gRPC. It answers
// as etcd does (test/fake compares them), but for what its faults make it do.
type Server struct {
	pb.UnimplementedKVServer
	pb.UnimplementedLeaseServer
	pb.UnimplementedWatchServer
	*network

	server *grpc.Server
	over   chan struct{} // closed at the end of the test

	Keepalives atomic.Int64 // streams for them that were ever opened

	Mu      sync.Mutex
	Store   *Store
	streams map[*stream]struct{}
	Watches map[*watch]struct{}
	muted   bool // watches are told nothing, and never will be of this time
	expiry  *time.Timer
	paused  bool // no lease expires, as long as etcd is down
	faults  []*fault
	Asked   map[string]int // requests, by method
}

// NewServer starts a server that ends with the test.
func NewServer(t *testing.T) *Server {
	e := &Server{
		network: newNetwork(),
		over:    make(chan struct{}),
		Store:   NewStore(1),
		streams: make(map[*stream]struct{}),
		Watches: make(map[*watch]struct{}),
		Asked:   make(map[string]int),
	}
	e.server = grpc.NewServer(
		grpc.UnaryInterceptor(e.unary),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}), // as etcd's
	)
	pb.RegisterKVServer(e.server, e)
	pb.RegisterLeaseServer(e.server, e)
	pb.RegisterWatchServer(e.server, e)
	served := make(chan error, 1)
	go func() { served <- e.server.Serve(e.network) }()
	t.Cleanup(func() {
		close(e.over)
		e.server.Stop()
		require.NoError(t, <-served)
		e.Mu.Lock()
		defer e.Mu.Unlock()
		if e.expiry != nil {
			e.expiry.Stop()
		}
	})
	return e
}

// NewClient returns a client with the settings that the registry gives its own.
func (e *Server) NewClient(t *testing.T) *clientv3.Client {
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

// handle answers a request, unless a fault does.
func (e *Server) handle(ctx context.Context, method string, request any, answer func() (any, error)) (any, error) {
	e.Mu.Lock()
	e.Asked[method]++
	f := e.faultFor(method, request)
	e.Mu.Unlock()
	if f != nil {
		return f.serve(ctx, answer)
	}
	return answer()
}

func (e *Server) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return e.handle(ctx, path.Base(info.FullMethod), request, func() (any, error) { return handler(ctx, request) })
}

// change does something to the store and tells the watches. It needs mu.
func (e *Server) change(do func(*Store) error) error {
	err := do(e.Store)
	events := e.Store.commit()
	for w := range e.Watches {
		w.notify(events)
	}
	e.scheduleExpiry()
	return err
}

func (e *Server) scheduleExpiry() {
	if e.expiry != nil {
		e.expiry.Stop()
	}
	var next time.Time
	for _, l := range e.Store.Leases {
		if next.IsZero() || l.expires.Before(next) {
			next = l.expires
		}
	}
	if !next.IsZero() && !e.paused {
		e.expiry = time.AfterFunc(time.Until(next), e.expire)
	}
}

// expire revokes the leases that have run out, each in a revision of its own.
func (e *Server) expire() {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	for id, l := range e.Store.Leases {
		if !e.paused && !time.Now().Before(l.expires) {
			_ = e.change(func(s *Store) error { return s.revoke(id) })
		}
	}
}

// do makes a change that is a request's, and returns the header of its answer.
func (e *Server) do(do func(*Store) error) (*pb.ResponseHeader, error) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	err := e.change(do)
	return e.Store.header(), err
}

// Range serves the method of that name, as do the following ones.
func (e *Server) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	return e.Store.read(r)
}

// Put serves.
func (e *Server) Put(_ context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	header, err := e.do(func(s *Store) error {
		if s.Missing(r.Lease) {
			return rpctypes.ErrGRPCLeaseNotFound
		}
		s.put(r)
		return nil
	})
	return &pb.PutResponse{Header: header}, err
}

// DeleteRange serves.
func (e *Server) DeleteRange(_ context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	var answer *pb.DeleteRangeResponse
	header, err := e.do(func(s *Store) error {
		answer = s.delete(r)
		return nil
	})
	answer.Header = header
	return answer, err
}

// Txn serves.
func (e *Server) Txn(_ context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	var answer *pb.TxnResponse
	header, err := e.do(func(s *Store) (err error) {
		answer, err = s.txn(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	answer.Header = header
	return answer, nil
}

// Compact serves.
func (e *Server) Compact(_ context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	header, err := e.do(func(s *Store) error { return s.compact(r.Revision) })
	return &pb.CompactionResponse{Header: header}, err
}

// LeaseGrant serves.
func (e *Server) LeaseGrant(_ context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	var answer *pb.LeaseGrantResponse
	header, err := e.do(func(s *Store) (err error) {
		answer, err = s.grant(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	answer.Header = header
	return answer, nil
}

// LeaseRevoke serves.
func (e *Server) LeaseRevoke(_ context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	header, err := e.do(func(s *Store) error { return s.revoke(r.ID) })
	return &pb.LeaseRevokeResponse{Header: header}, err
}

// LeaseTimeToLive serves.
func (e *Server) LeaseTimeToLive(_ context.Context, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	answer := &pb.LeaseTimeToLiveResponse{Header: e.Store.header(), ID: r.ID, TTL: -1}
	if l := e.Store.Leases[r.ID]; l != nil {
		answer.TTL, answer.GrantedTTL = int64(time.Until(l.expires)/time.Second), l.seconds
		for _, kv := range e.Store.keysOf(r.ID) {
			if r.Keys {
				answer.Keys = append(answer.Keys, kv.Key)
			}
		}
	}
	return answer, nil
}

// LeaseKeepAlive serves.
func (e *Server) LeaseKeepAlive(s pb.Lease_LeaseKeepAliveServer) error {
	e.Keepalives.Add(1)
	return e.serveStream(s, func(stream *stream) error {
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

func (e *Server) renew(r *pb.LeaseKeepAliveRequest) *pb.LeaseKeepAliveResponse {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	answer := &pb.LeaseKeepAliveResponse{Header: e.Store.header(), ID: r.ID}
	if l := e.Store.Leases[r.ID]; l != nil {
		l.renew()
		answer.TTL = l.seconds
		e.scheduleExpiry()
	}
	return answer
}

// Revision is the newest one.
func (e *Server) Revision() int64 {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	return e.Store.Revision
}
