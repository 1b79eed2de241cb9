package etcdconn

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/micro-etcd/micro-etcd/internal/metrics"
)

// member is one that answers reads by a function.
type member struct {
	pb.UnimplementedKVServer
	read func(context.Context) error
}

func (m *member) Range(ctx context.Context, _ *pb.RangeRequest) (*pb.RangeResponse, error) {
	if err := m.read(ctx); err != nil {
		return nil, err
	}
	return &pb.RangeResponse{Header: &pb.ResponseHeader{ClusterId: 1, Revision: 1}}, nil
}

// startMember returns its URL.
func startMember(t *testing.T, read func(context.Context) error) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	pb.RegisterKVServer(server, &member{read: read})
	serving := make(chan error)
	go func() { serving <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-serving)
	})
	return "http://" + l.Addr().String()
}

// newTestConnector returns a connector to some members.
func newTestConnector(t *testing.T, endpoints ...string) *Connector {
	t.Helper()
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	run := func(f func()) bool {
		running.Go(f)
		return true
	}
	c := NewConnector(ctx, run, metrics.New(), func() {}, func() {})
	c.Replace(Config{Endpoints: endpoints})
	t.Cleanup(func() {
		cancel()
		require.NoError(t, c.Close())
		running.Wait()
	})
	return c
}

// Two members elect a leader, and the third one, which was it, is cut off from them. The two have lost what they were
// asked before; the third one says at once that it has no leader, however often it is asked.
func TestAMemberWithoutALeaderIsNotTheOnlyOneAsked(t *testing.T) {
	cutOff := startMember(t, func(context.Context) error { return rpctypes.ErrGRPCNoLeader })
	electing := func() string {
		var asked atomic.Int32
		return startMember(t, func(ctx context.Context) error {
			if asked.Add(1) > 1 {
				return nil
			}
			<-ctx.Done()
			return status.FromContextError(ctx.Err()).Err()
		})
	}
	c := newTestConnector(t, cutOff, electing(), electing())
	_, err := Get(t.Context(), c, 10*time.Second, "key")
	require.NoError(t, err)
}
