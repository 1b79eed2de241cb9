package etcdconn

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
)

// members starts some etcd members that know no request, and returns their addresses and a client of them.
func members(t *testing.T, n int) (addresses []string, client pb.KVClient, dialer *Dialer) {
	t.Helper()
	dialer = &Dialer{}
	addresses, conn := connect(t, dialer, n)
	return addresses, pb.NewKVClient(conn), dialer
}

// serve starts a server until the test ends, and returns its address.
func serve(t *testing.T, server *grpc.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	serving := make(chan error)
	go func() { serving <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-serving)
	})
	return l.Addr().String()
}

// connect starts some servers, and returns their addresses and a connection to them.
func connect(
	t *testing.T, dialer *Dialer, n int, opts ...grpc.ServerOption,
) (addresses []string, conn *grpc.ClientConn) {
	t.Helper()
	var state resolver.State
	for range n {
		address := resolver.Address{Addr: serve(t, grpc.NewServer(opts...))}
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{address}})
		addresses = append(addresses, address.Addr)
	}
	r := manual.NewBuilderWithScheme("members")
	r.InitialState(state)
	conn, err := grpc.NewClient(r.Scheme()+":///", append(dialer.DialOptions(n, nil), grpc.WithResolvers(r))...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return addresses, conn
}

// meet sends a request and returns which member it met.
func meet(t *testing.T, client pb.KVClient, avoid ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	pick := &Pick{Avoid: avoid}
	_, _ = client.Range(WithPick(ctx, pick), &pb.RangeRequest{}, grpc.WaitForReady(true)) // they know no request
	return pick.Member()
}

// meetAll waits until there is a connection to each member.
func meetAll(t *testing.T, addresses []string, client pb.KVClient) {
	t.Helper()
	require.Eventually(t, func() bool {
		met := make(map[string]bool)
		for range 2 * len(addresses) {
			met[meet(t, client)] = true
		}
		return len(met) == len(addresses)
	}, 10*time.Second, time.Millisecond)
}

func TestRequestsAvoidMembers(t *testing.T) {
	addresses, client, _ := members(t, 3)
	meetAll(t, addresses, client)
	for range 100 {
		require.Equal(t, addresses[2], meet(t, client, addresses[0], addresses[1]))
		require.NotEqual(t, addresses[1], meet(t, client, addresses[1]))
	}
	again := append(slices.Clone(addresses), addresses[0])
	require.Equal(t, addresses[1], meet(t, client, again...), "the one that was asked longest ago")
}

func TestOneMemberIsMetAlthoughItIsToBeAvoided(t *testing.T) {
	addresses, client, _ := members(t, 1)
	require.Equal(t, addresses[0], meet(t, client, addresses[0]))
}

func TestAClosedMemberIsNotMet(t *testing.T) {
	addresses, client, dialer := members(t, 3)
	meetAll(t, addresses, client)
	dialer.Close(addresses[0], time.Now())
	require.Eventually(t, func() bool {
		for range addresses {
			if meet(t, client) == addresses[0] {
				return false
			}
		}
		return true
	}, 10*time.Second, time.Millisecond)
	for range 100 {
		require.NotEqual(t, addresses[0], meet(t, client))
	}
}

// A busy member, whose bcrypt takes long, mustn't be asked for more of them.
func TestEachMemberIsAskedToAuthenticateOnce(t *testing.T) {
	for _, n := range []int{1, 2} {
		var asked atomic.Int32
		silent := grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
			asked.Add(1)
			<-s.Context().Done()
			return status.FromContextError(s.Context().Err()).Err()
		})
		_, conn := connect(t, &Dialer{}, n, silent)
		ctx, cancel := context.WithTimeout(t.Context(), 3*authenticateTime)
		_, err := pb.NewAuthClient(conn).Authenticate(ctx, &pb.AuthenticateRequest{}, grpc.WaitForReady(true))
		cancel()
		require.Error(t, err)
		require.EqualValues(t, n, asked.Load())
	}
}
