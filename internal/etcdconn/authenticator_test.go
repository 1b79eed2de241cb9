package etcdconn

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// guarded is a member that wants tokens, and forgets them when it is told to.
type guarded struct {
	pb.UnimplementedKVServer
	pb.UnimplementedAuthServer
	tokens  sync.Map
	asked   atomic.Int32 // for a token
	refused sync.WaitGroup
}

func (g *guarded) Authenticate(context.Context, *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	g.refused.Wait()
	token := fmt.Sprint(g.asked.Add(1))
	g.tokens.Store(token, nil)
	return &pb.AuthenticateResponse{Token: token}, nil
}

func (g *guarded) Range(ctx context.Context, _ *pb.RangeRequest) (*pb.RangeResponse, error) {
	given, _ := metadata.FromIncomingContext(ctx)
	token := given.Get(rpctypes.TokenFieldNameGRPC)
	if len(token) == 1 {
		if _, ok := g.tokens.Load(token[0]); ok {
			return &pb.RangeResponse{Header: &pb.ResponseHeader{ClusterId: 1, Revision: 1}}, nil
		}
	}
	g.refused.Done()
	return nil, rpctypes.ErrGRPCInvalidAuthToken
}

func TestRequestsThatFindTheirTokenForgottenShareANewOne(t *testing.T) {
	const requests = 100
	g := &guarded{}
	server := grpc.NewServer()
	pb.RegisterKVServer(server, g)
	pb.RegisterAuthServer(server, g)
	c := newTestConnector(t)
	c.Replace(Config{Endpoints: []string{"http://" + serve(t, server)}, Username: "u", Password: "p"})
	require.NoError(t, get(t, c, 10*time.Second))
	require.EqualValues(t, 1, g.asked.Load())

	g.refused.Add(requests)
	g.tokens.Clear()
	var running sync.WaitGroup
	for range requests {
		running.Go(func() {
			if err := get(t, c, time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	require.LessOrEqual(t, g.asked.Load(), int32(requests/5), "most of them arrive while one is under way")
}

// Members that were silent may be back before those who wait have run out of time.
func TestASilentMemberIsAskedForATokenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, asked := time.Now(), 0
		a := &authenticator{members: 2}
		require.NoError(t, a.ask(t.Context(), func(ctx context.Context) error {
			if asked++; asked > 3 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}))
		require.Equal(t, (1+2+4)*authenticateTime, time.Since(began))
	})
}
