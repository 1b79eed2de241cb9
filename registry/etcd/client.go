package etcd

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// link is an etcd client and the time for which it is the current one.
type link struct {
	*clientv3.Client
	ctx     context.Context // ends when another client takes over, and with the registry
	end     context.CancelFunc
	dialer  *etcdconn.Dialer // nil for a client that is the caller's
	breaker *authBreaker

	watches   *etcdconn.Watches
	renewals  *etcdconn.Renewals
	highWater highWater
	down      atomic.Int64 // when the connection was lost, in Unix nanoseconds; 0 while there is one
	token     atomic.Bool  // is known to be invalid
}

// during returns a context for a stream, which ends with ctx or when the link is no longer current.
func (l *link) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(l.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// isCurrent reports whether no other client has taken over.
func (l *link) isCurrent() bool { return l.ctx.Err() == nil }

// downSince returns when the connection was lost, or zero while there is one.
func (l *link) downSince() time.Time {
	if at := l.down.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// isDown reports whether the connection was lost.
func (l *link) isDown() bool { return l.down.Load() != 0 }

func (l *link) isConnected() bool { return l.ActiveConnection().GetState() == connectivity.Ready }

// await waits for a connection.
func (l *link) await(ctx context.Context) error {
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

// close ends the link, and the client if it is ours.
func (l *link) close() error {
	l.end()
	if l.dialer == nil {
		return nil
	}
	if err := l.Close(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// connector hands out the client that belongs to the current settings, and makes it when it
// is first asked for.
type connector struct {
	ctx     context.Context   // the registry's
	goes    func(func()) bool // runs a function in a goroutine that somebody waits for, unless it is too late for that
	metrics *metrics.Metrics
	repeats *semaphore.Weighted // for requests that are sent again although the ones before are under way

	reconnected func() // called when a lost connection is back; does not block
	changed     func() // called when a connection is lost or back; does not block

	mu      sync.Mutex
	config  clientConfig
	breaker *authBreaker // of the config
	client  *link
	dialing *dialing
}

func newConnector(ctx context.Context, goes func(func()) bool, m *metrics.Metrics, reconnected, changed func()) *connector {
	return &connector{
		ctx: ctx, goes: goes, metrics: m, repeats: semaphore.NewWeighted(maxRepeats),
		reconnected: reconnected, changed: changed, breaker: &authBreaker{},
	}
}

// dialing is an attempt to make a client, which several callers may await. With a password it
// is a round trip, because the etcd client authenticates before it is usable.
type dialing struct {
	dialer  *etcdconn.Dialer
	breaker *authBreaker
	done    chan struct{}
	link    *link
	err     error
}

// link returns the current client for a request whose end is reported to the breaker.
func (c *connector) link(ctx context.Context) (*link, error) {
	l, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	return l, l.breaker.allow()
}

// connect returns the current client, at once unless it has yet to be made.
func (c *connector) connect(ctx context.Context) (*link, error) {
	c.mu.Lock()
	if l := c.client; l != nil {
		c.mu.Unlock()
		if l.Ctx().Err() != nil && l.dialer == nil {
			return nil, errClientClosed
		}
		return l, nil
	}
	d := c.dialing
	if d == nil {
		if err := c.breaker.allow(); err != nil {
			c.mu.Unlock()
			return nil, err
		}
		d = &dialing{dialer: &etcdconn.Dialer{}, breaker: c.breaker, done: make(chan struct{})}
		config := c.config
		if c.ctx.Err() != nil || !c.goes(func() { c.dial(d, config) }) {
			c.mu.Unlock()
			return nil, errClosed
		}
		c.dialing = d
	}
	c.mu.Unlock()
	select {
	case <-d.done:
		return d.link, d.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (c *connector) dial(d *dialing, config clientConfig) {
	defer close(d.done)
	client, err := config.dial(c.ctx, d.dialer)
	switch {
	case err != nil:
		d.err = err
	case config.Client != nil:
		d.link = c.newLink(client, nil, d.breaker)
	default:
		d.link = c.newLink(client, d.dialer, d.breaker)
	}
	if c.adopt(d) {
		return
	}
	if d.link != nil {
		_ = d.link.close()
	}
	d.link, d.err = nil, errReplaced // and so is the reason why there is none
}

func (c *connector) newLink(client *clientv3.Client, dialer *etcdconn.Dialer, breaker *authBreaker) *link {
	l := &link{Client: client, dialer: dialer, breaker: breaker}
	l.ctx, l.end = context.WithCancel(c.ctx)
	l.watches = &etcdconn.Watches{
		Context: clientv3.WithRequireLeader(l.ctx), // a member without one says that a watch is open, and then nothing
		Go:      c.goes,
		Open: func(ctx context.Context) (pb.Watch_WatchClient, error) {
			if err := l.breaker.open(); err != nil {
				return nil, err
			}
			renew := func() error { _, err := get(ctx, c, dialTimeout, anyKey, clientv3.WithCountOnly()); return err }
			if err := l.renewToken(renew); err != nil {
				return nil, err
			}
			return pb.NewWatchClient(l.ActiveConnection()).Watch(ctx, streamOptions...)
		},
		Ended: func(err error) { c.streamEnded(l, err); c.metrics.Streamed(metrics.MethodWatch, grpcCode(err)) },
	}
	l.renewals = &etcdconn.Renewals{
		Context: l.ctx,
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

// watch watches a key, or all up to end.
func (c *connector) watch(l *link, key, end string, from int64) *etcdconn.Watch {
	c.metrics.Streamed(metrics.MethodWatch, codes.OK)
	return l.watches.Watch(key, end, from)
}

// streamOptions are those that the etcd client gives its streams.
var streamOptions = []grpc.CallOption{grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(1<<31 - 1)}

// anyKey is one to ask for without minding the answer.
const anyKey = "\x00"

// renewToken sees to it that a stream isn't opened with a token that is known to be invalid: it would be useless for ever.
// A unary request makes the etcd client get another one.
func (l *link) renewToken(request func() error) error {
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
func (c *connector) streamEnded(l *link, err error) {
	if l.ctx.Err() != nil {
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

// adopt makes the outcome of an attempt the current one, unless the settings have changed meanwhile.
func (c *connector) adopt(d *dialing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dialing != d {
		return false
	}
	c.dialing, c.client = nil, d.link
	switch {
	case retry.Refused(d.err):
		d.breaker.trip(d.err)
	case d.err == nil:
		d.breaker.reset()
		c.goes(func() { c.observe(d.link) })
	}
	return true
}

// observe notes when the connection is lost and when it is back. A connection that is made anew
// within a moment counts too: etcd's data may have been replaced behind it.
func (c *connector) observe(l *link) {
	conn := l.ActiveConnection()
	wasReady := false
	for {
		state := conn.GetState()
		switch state {
		case connectivity.Ready:
			wasDown := l.down.Swap(0) != 0
			if wasDown || wasReady {
				c.reconnected()
			}
			wasReady = true
			c.changed()
		case connectivity.TransientFailure:
			if l.down.CompareAndSwap(0, time.Now().UnixNano()) {
				c.changed()
			}
		}
		if !conn.WaitForStateChange(l.ctx, state) {
			return
		}
	}
}

var (
	errClosed       = errors.New("registry is closed")
	errDisconnected = errors.New("not connected to etcd")
)

// errClientClosed says that the caller has closed the client that we were lent.
var errClientClosed = errors.New("the etcd client given with the option Client is closed")

// errReplaced says that a call was cut off because another client took over.
var errReplaced = reflector.ErrReplaced

// replace makes a config current. The streams of the client before end at once, and it is closed.
func (c *connector) replace(config clientConfig) {
	c.mu.Lock()
	old := c.client
	c.config, c.breaker, c.client, c.dialing = config, &authBreaker{}, nil, nil
	c.mu.Unlock()
	if old != nil {
		old.end()
		c.goes(func() { _ = old.close() })
	}
}

// close closes the client, and no other one is made.
func (c *connector) close() error {
	c.mu.Lock()
	last := c.client
	c.client, c.dialing = nil, nil
	c.mu.Unlock()
	if last == nil {
		return nil
	}
	return last.close()
}

// resetBreaker lets a request pass although the credentials were rejected.
func (c *connector) resetBreaker() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.breaker.reset()
}

// current returns the client, if there is one, without making one.
func (c *connector) current() *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.client
}

func (c *connector) isConnected() bool {
	l := c.current()
	return l != nil && l.isConnected()
}

// explain adds to a missed deadline what is wrong with the connection.
func (c *connector) explain(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if cause := c.connectError(); cause != nil {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// connectError returns why there is no connection, or nil if there is one, or nothing is known.
func (c *connector) connectError() error {
	c.mu.Lock()
	l, d := c.client, c.dialing
	c.mu.Unlock()
	switch {
	case l != nil && l.isConnected():
	case l != nil && l.dialer != nil:
		return l.dialer.Err()
	case l != nil:
		return errDisconnected
	case d != nil:
		return d.dialer.Err()
	}
	return nil
}

// clientConfig is what a client is made of.
type clientConfig struct {
	Endpoints          []string    // URLs
	TLS                *tls.Config // nil for a plain connection
	Username, Password string
	Log                *zap.Logger      // nil for none
	Client             *clientv3.Client // the caller's; the rest counts for nothing then
}

// Connection parameters of the etcd client; the measurements behind them are in docs/design.md.
const (
	dialTimeout = 5 * time.Second
	// With one that dies without a word, and the next one too, these come to 16 s. gRPC makes less
	// than 10 s 10 s (dialoptions.go, WithKeepaliveParams).
	dialKeepAliveTime    = 10 * time.Second
	dialKeepAliveTimeout = 3 * time.Second
	// maxUnaryRetries leaves trying again to us. The etcd client counts the first try, and needs another one for a token
	// that has expired (client/v3 retry_interceptor.go).
	maxUnaryRetries = 2
)

// connectParams override gRPC's reconnect backoff, which otherwise grows to two minutes and
// keeps a client away from an etcd that is long back. A connection takes two or three round trips, of up to 3 s.
var connectParams = grpc.ConnectParams{
	Backoff: grpcbackoff.Config{
		BaseDelay:  100 * time.Millisecond,
		Multiplier: 1.6,
		Jitter:     0.2,
		MaxDelay:   500 * time.Millisecond,
	},
	MinConnectTimeout: 10 * time.Second,
}

// etcd returns the etcd client's config.
func (c clientConfig) etcd() clientv3.Config {
	return clientv3.Config{
		Endpoints:            c.Endpoints,
		TLS:                  c.TLS,
		Username:             c.Username,
		Password:             c.Password,
		DialTimeout:          dialTimeout,
		DialKeepAliveTime:    dialKeepAliveTime,
		DialKeepAliveTimeout: dialKeepAliveTimeout,
		MaxUnaryRetries:      maxUnaryRetries,
		DialOptions:          []grpc.DialOption{grpc.WithConnectParams(connectParams)},
		Logger:               cmp.Or(c.Log, zap.NewNop()),
	}
}

func (c clientConfig) dial(ctx context.Context, dialer *etcdconn.Dialer) (*clientv3.Client, error) {
	if c.Client != nil {
		return c.Client, nil
	}
	config := c.etcd()
	config.Context = ctx
	config.DialOptions = append(config.DialOptions, dialer.DialOptions(len(c.Endpoints), c.TLS)...)
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %v: %w", c.Endpoints, err)
	}
	return client, nil
}
