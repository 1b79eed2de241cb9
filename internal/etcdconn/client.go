package etcdconn

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// Client is an etcd client and the time for which it is the current one.
type Client struct {
	*clientv3.Client
	User    string          // of its config
	life    context.Context // ends when another client takes over, and with the registry
	end     context.CancelFunc
	dialer  *Dialer // nil for a client that is the caller's
	breaker *breaker

	watches   *Watches
	renewals  *Renewals
	HighWater HighWater
	clusters  clusters
	down      atomic.Pointer[time.Time] // when the connection was lost; nil while there is one
	token     atomic.Bool               // is known to be invalid
}

// whileCurrent returns a context for a stream, which ends with ctx or when another client takes over.
func (cl *Client) whileCurrent(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(cl.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// IsCurrent reports whether no other client has taken over.
func (cl *Client) IsCurrent() bool { return cl.life.Err() == nil }

// DownSince returns when the connection was lost, or zero while there is one.
func (cl *Client) DownSince() time.Time {
	if at := cl.down.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// IsDown reports whether the connection was lost.
func (cl *Client) IsDown() bool { return cl.down.Load() != nil }

// IsConnected reports whether there is a connection to a member.
func (cl *Client) IsConnected() bool { return cl.ActiveConnection().GetState() == connectivity.Ready }

// await waits for a state of the connection, which is made if there is none.
func (cl *Client) await(ctx context.Context, want connectivity.State) error {
	conn := cl.ActiveConnection()
	for {
		state := conn.GetState()
		if state == want {
			return nil
		}
		conn.Connect()
		if !conn.WaitForStateChange(ctx, state) {
			return context.Cause(ctx)
		}
	}
}

// close ends the streams, and the etcd client if it is ours.
func (cl *Client) close() error {
	cl.end()
	if cl.dialer == nil {
		return nil
	}
	if err := cl.Close(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// streamOptions are those that the etcd client gives its streams.
var streamOptions = []grpc.CallOption{grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(1<<31 - 1)}

// anyKey is one to ask for without minding the answer.
const anyKey = "\x00"

// renewToken sees to it that a stream isn't opened with a token that is known to be invalid: it would be useless for
// ever. A unary request makes the etcd client get another one.
func (cl *Client) renewToken(request func() error) error {
	if !cl.token.Swap(false) {
		return nil
	}
	err := request()
	if err == nil || errors.Is(err, rpctypes.ErrPermissionDenied) {
		return nil
	}
	cl.token.Store(true)
	return err
}
