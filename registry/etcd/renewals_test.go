package etcd

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
)

// scripted is a lease client whose streams take everything and end with an error when it is sent.
type scripted struct {
	pb.LeaseClient
	keepalives
	asked []int64
	ends  chan error
}

func (s *scripted) LeaseKeepAlive(context.Context, ...grpc.CallOption) (keepalives, error) {
	return s, nil
}

func (s *scripted) Context() context.Context { return context.Background() }

func (s *scripted) Send(r *pb.LeaseKeepAliveRequest) error {
	s.asked = append(s.asked, r.ID)
	return nil
}

func (s *scripted) Recv() (*pb.LeaseKeepAliveResponse, error) { return nil, <-s.ends }

// etcd answers in the order in which it was asked first, however often the etcd client asks again.
func TestARefusalIsOfTheLeaseThatWasAskedForFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{ends: make(chan error, 1)}
		c := leaseClient{s, func() error { return nil }, func(error) {}}
		stream, err := c.LeaseKeepAlive(t.Context())
		require.NoError(t, err)
		ask := func(ids ...int64) {
			for _, id := range ids {
				require.NoError(t, stream.Send(&pb.LeaseKeepAliveRequest{ID: id}))
			}
		}
		ask(1, 2, 3)
		ask(3, 2, 1)
		require.Equal(t, []int64{1, 2, 3}, s.asked, "what was just asked isn't asked again")
		time.Sleep(patience)
		ask(3, 2, 1)
		require.Equal(t, []int64{1, 2, 3, 3, 2, 1}, s.asked)
		for _, id := range []int64{1, 2, 3} {
			s.ends <- rpctypes.ErrGRPCPermissionDenied
			answer, err := stream.Recv()
			require.NoError(t, err)
			require.Equal(t, id, answer.ID)
			require.Same(t, refusal, answer.Header)
		}
	})
}
