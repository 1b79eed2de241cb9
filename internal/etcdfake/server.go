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
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
)

// Server is a scripted etcd, which real clients talk to over gRPC. It answers as etcd does (test/fake compares them),
// but for what its faults make it do.
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
	t.Helper()
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

// NewClient returns a client with the settings that the registry gives its own. It has the address of one member, if it
// isn't given others.
func (e *Server) NewClient(t *testing.T, members ...string) *clientv3.Client {
	t.Helper()
	if len(members) == 0 {
		members = Members[:1]
	}
	config := etcdconn.Config{Endpoints: members}.Etcd()
	config.DialOptions = append(
		config.DialOptions, grpc.WithContextDialer(e.Dial), grpc.WithChainStreamInterceptor(commit),
	)
	client, err := clientv3.New(config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// commit keeps gRPC from repeating a stream by itself (stream.go, retryLocked): it would hold the stream's mutex until
// there is a connection, and virtual time doesn't pass while somebody waits for a mutex.
func commit(
	ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer,
	opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, cc, method, opts...)
	if err == nil {
		stream.Context() // commits
	}
	return stream, err
}

// fault answers requests instead of the etcd, or on its behalf.
type fault struct {
	hits  func(method string, request any) bool
	serve func(ctx context.Context, answer func() (any, error)) (any, error)
	left  int // how many requests more, if not negative
}

// faultFor returns the fault that a request meets. It needs mu.
func (e *Server) faultFor(method string, request any) *fault {
	for _, f := range e.faults {
		if f.left != 0 && f.hits(method, request) {
			f.left--
			return f
		}
	}
	return nil
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

func (e *Server) unary(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (any, error) {
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

// Revision is the newest one.
func (e *Server) Revision() int64 {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	return e.Store.Revision
}
