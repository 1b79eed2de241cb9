package etcdconn

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/micro-etcd/micro-etcd/internal/metrics"
)

// member is one that answers reads by a function.
type member struct {
	pb.UnimplementedKVServer
	cluster uint64
	read    func(context.Context) error
}

func (m *member) Range(ctx context.Context, _ *pb.RangeRequest) (*pb.RangeResponse, error) {
	if err := m.read(ctx); err != nil {
		return nil, err
	}
	return &pb.RangeResponse{Header: &pb.ResponseHeader{ClusterId: m.cluster, Revision: 1}}, nil
}

// startMember returns its URL.
func startMember(t *testing.T, read func(context.Context) error) string {
	t.Helper()
	return startMemberOf(t, 1, read)
}

func startMemberOf(t *testing.T, cluster uint64, read func(context.Context) error) string {
	t.Helper()
	server := grpc.NewServer()
	pb.RegisterKVServer(server, &member{cluster: cluster, read: read})
	return "http://" + serve(t, server)
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

func get(t *testing.T, c *Connector, timeout time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	_, err := Get(ctx, c, "key")
	return err
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
	require.NoError(t, get(t, c, 10*time.Second))
}

// One member refuses everything at once, for a reason of its own.
func TestARefusalOfOneMemberIsNotThatOfAll(t *testing.T) {
	for name, refusal := range map[string]error{
		"overloaded":    status.Error(codes.ResourceExhausted, "overloaded"),
		"not etcd":      status.Error(codes.Unimplemented, "unknown service etcdserverpb.KV"),
		"a proxy's 403": status.Error(codes.PermissionDenied, "unexpected HTTP status code received from server: 403"),
		"behind":        rpctypes.ErrGRPCRequestTooManyRequests,
		"corrupt":       rpctypes.ErrGRPCCorrupt,
	} {
		t.Run(name, func(t *testing.T) {
			refuses := startMember(t, func(context.Context) error { return refusal })
			well := func() string { return startMember(t, func(context.Context) error { return nil }) }
			c := newTestConnector(t, refuses, well(), well())
			for range 6 { // one after the other begins at each member
				require.NoError(t, get(t, c, 10*time.Second))
			}
		})
	}
}

func TestARefusalOfAllMembersIsReturnedSoon(t *testing.T) {
	refuses := func() string {
		return startMember(t, func(context.Context) error { return status.Error(codes.Unimplemented, "unknown service") })
	}
	c := newTestConnector(t, refuses(), refuses())
	require.Equal(t, codes.Unimplemented, status.Code(get(t, c, time.Minute)))
}

// Members that don't answer for a while mustn't use up the tries that a refusal has, nor hide it. The etcd client asks
// twice for one of our tries.
func TestRefusalsAreCountedApart(t *testing.T) {
	refusal := status.Error(codes.ResourceExhausted, "overloaded")
	for name, c := range map[string]struct {
		unanswered, refused int32
		want                codes.Code
	}{
		"a refusal after as many tries without an answer": {2 * maxRefusals, 1, codes.OK},
		"lasting refusals after more of them":             {2*maxRefusals + 2, 1000, codes.ResourceExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			conn := newTestConnector(t, startMember(t, func(context.Context) error {
				switch n := asked.Add(1); {
				case n <= c.unanswered:
					return rpctypes.ErrGRPCNoLeader
				case n <= c.unanswered+c.refused:
					return refusal
				}
				return nil
			}))
			require.Equal(t, c.want, status.Code(get(t, conn, 30*time.Second)))
		})
	}
}
