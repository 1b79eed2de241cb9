package etcdconn

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/micro-etcd/micro-etcd/internal/metrics"
)

// Client is an etcd client and the time for which it is the current one.
type Client struct {
	*clientv3.Client
	life    context.Context // ends when another client takes over, and with the registry
	end     context.CancelFunc
	dialer  *Dialer // nil for a client that is the caller's
	breaker *authBreaker

	watches   *Watches
	renewals  *Renewals
	HighWater HighWater
	down      atomic.Int64 // when the connection was lost, in Unix nanoseconds; 0 while there is one
	token     atomic.Bool  // is known to be invalid
}

// whileCurrent returns a context for a stream, which ends with ctx or when another client takes over.
func (l *Client) whileCurrent(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(l.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// IsCurrent reports whether no other client has taken over.
func (l *Client) IsCurrent() bool { return l.life.Err() == nil }

// DownSince returns when the connection was lost, or zero while there is one.
func (l *Client) DownSince() time.Time {
	if at := l.down.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// IsDown reports whether the connection was lost.
func (l *Client) IsDown() bool { return l.down.Load() != 0 }

// IsConnected reports whether there is a connection to a member.
func (l *Client) IsConnected() bool { return l.ActiveConnection().GetState() == connectivity.Ready }

// await waits for a connection.
func (l *Client) await(ctx context.Context) error {
	conn := l.ActiveConnection()
	for {
		state := conn.GetState()
		if state == connectivity.Ready {
			return nil
		}
		conn.Connect()
		if !conn.WaitForStateChange(ctx, state) {
			return context.Cause(ctx)
		}
	}
}

// close ends the streams, and the etcd client if it is ours.
func (l *Client) close() error {
	l.end()
	if l.dialer == nil {
		return nil
	}
	if err := l.Close(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (c *Connector) newClient(client *clientv3.Client, dialer *Dialer, breaker *authBreaker) *Client {
	l := &Client{Client: client, dialer: dialer, breaker: breaker}
	l.life, l.end = context.WithCancel(c.Context)
	l.watches = &Watches{
		Context: clientv3.WithRequireLeader(l.life), // a member without one says that a watch is open, and then nothing
		Go:      c.Go,
		Open: func(ctx context.Context) (pb.Watch_WatchClient, error) {
			if err := l.breaker.open(); err != nil {
				return nil, err
			}
			renew := func() error { _, err := Get(ctx, c, dialTimeout, anyKey, clientv3.WithCountOnly()); return err }
			if err := l.renewToken(renew); err != nil {
				return nil, err
			}
			return pb.NewWatchClient(l.ActiveConnection()).Watch(ctx, streamOptions...)
		},
		Ended: func(err error) { c.streamEnded(l, err); c.Metrics.Streamed(metrics.MethodWatch, Code(err)) },
	}
	l.renewals = &Renewals{
		Context: l.life,
		Open: func(ctx context.Context) (pb.Lease_LeaseKeepAliveClient, error) {
			// As a part of a request that the breaker has let through.
			renew := func() error { _, err := l.Get(ctx, anyKey, clientv3.WithCountOnly()); return err }
			if err := l.renewToken(renew); err != nil {
				return nil, err
			}
			return pb.NewLeaseClient(l.ActiveConnection()).LeaseKeepAlive(ctx, streamOptions...)
		},
	}
	return l
}

// streamOptions are those that the etcd client gives its streams.
var streamOptions = []grpc.CallOption{grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(1<<31 - 1)}

// anyKey is one to ask for without minding the answer.
const anyKey = "\x00"

// renewToken sees to it that a stream isn't opened with a token that is known to be invalid: it would be useless for ever.
// A unary request makes the etcd client get another one.
func (l *Client) renewToken(request func() error) error {
	if !l.token.Swap(false) {
		return nil
	}
	err := request()
	if err == nil || errors.Is(err, rpctypes.ErrPermissionDenied) {
		return nil
	}
	l.token.Store(true)
	return err
}

// streamEnded takes note of why a stream has ended, or of what etcd has refused on it.
func (c *Connector) streamEnded(l *Client, err error) {
	if l.life.Err() != nil {
		return
	}
	err = rpctypes.Error(err)
	if isTokenInvalid(err) || errors.Is(err, rpctypes.ErrUserEmpty) {
		l.token.Store(true)
	}
	if errors.Is(err, rpctypes.ErrAuthFailed) {
		l.breaker.report(err)
	}
}
