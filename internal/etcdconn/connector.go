package etcdconn

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"

	"github.com/micro-etcd/micro-etcd/internal/etcderr"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
)

// Connector hands out the client that belongs to the current settings, and makes it when it is first asked for.
type Connector struct {
	Context context.Context   // the registry's
	Go      func(func()) bool // runs a function in a goroutine that somebody waits for, unless it is too late for that
	Metrics *metrics.Metrics
	repeats *semaphore.Weighted // for requests that are sent again although the ones before are under way

	reconnected func() // called when a lost connection is back; does not block
	changed     func() // called when a connection is lost or back; does not block

	generation atomic.Int64 // of the config; written under mu

	mu      sync.Mutex
	config  Config
	breaker *breaker // of the config
	client  *Client
	dialing *dialing
}

// maxRepeats bounds those of all requests but for the first ones: an etcd that is slow because it is busy must not get
// several times the work. It is what a process with a few dozen leases needs while the members elect a leader: what
// they were asked before is lost.
const maxRepeats = 64

// NewConnector returns a connector without a client, until Replace gives it a config and somebody asks for one. It ends
// with ctx, and runs goroutines by goes, which returns false when it is too late for that. It calls reconnected when a
// lost connection is back, and changed when one is lost or back; both mustn't block.
func NewConnector(
	ctx context.Context, goes func(func()) bool, m *metrics.Metrics, reconnected, changed func(),
) *Connector {
	return &Connector{
		Context: ctx, Go: goes, Metrics: m, repeats: semaphore.NewWeighted(maxRepeats),
		reconnected: reconnected, changed: changed, breaker: &breaker{},
	}
}

// dialing is an attempt to make a client, which several callers may await. With a password it is a round trip, because
// the etcd client authenticates before it is usable.
type dialing struct {
	dialer  *Dialer
	breaker *breaker
	done    chan struct{}
	client  *Client
	err     error
}

// allowed returns the current client for a request whose end is reported to the breaker.
func (c *Connector) allowed(ctx context.Context) (*Client, error) {
	cl, err := c.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return cl, cl.breaker.allow()
}

// Connect returns the current client, at once unless it has yet to be made.
func (c *Connector) Connect(ctx context.Context) (*Client, error) {
	c.mu.Lock()
	if cl := c.client; cl != nil {
		c.mu.Unlock()
		if cl.Ctx().Err() != nil && cl.dialer == nil {
			return nil, etcderr.ErrClientClosed
		}
		return cl, nil
	}
	d := c.dialing
	if d == nil {
		if err := c.breaker.allow(); err != nil {
			c.mu.Unlock()
			return nil, err
		}
		d = &dialing{dialer: &Dialer{connect: c.config.Dial}, breaker: c.breaker, done: make(chan struct{})}
		config := c.config
		if c.Context.Err() != nil || !c.Go(func() { c.dial(d, config) }) {
			c.mu.Unlock()
			return nil, ErrClosed
		}
		c.dialing = d
	}
	c.mu.Unlock()
	select {
	case <-d.done:
		return d.client, d.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (c *Connector) dial(d *dialing, config Config) {
	defer close(d.done)
	client, err := config.dial(c.Context, d.dialer)
	switch {
	case err != nil:
		d.err = err
		if cause := d.dialer.Err(); cause != nil && errors.Is(err, context.DeadlineExceeded) {
			d.err = fmt.Errorf("%w: %w", err, cause) // it waits for an authentication
		}
	case config.Client != nil:
		d.client = c.newClient(client, nil, d.breaker, config.User)
	default:
		d.client = c.newClient(client, d.dialer, d.breaker, config.User)
	}
	if c.setCurrent(d) {
		return
	}
	if d.client != nil {
		_ = d.client.close()
	}
	d.client, d.err = nil, ErrReplaced // an error of the old settings counts no more
}

func (c *Connector) newClient(client *clientv3.Client, dialer *Dialer, breaker *breaker, user string) *Client {
	cl := &Client{Client: client, User: user, dialer: dialer, breaker: breaker}
	cl.life, cl.end = context.WithCancel(c.Context)
	cl.watches = &Watches{
		Context: clientv3.WithRequireLeader(cl.life), // a member without one says that a watch is open, and then nothing
		Go:      c.Go,
		Open: func(ctx context.Context) (pb.Watch_WatchClient, error) {
			if err := cl.breaker.open(); err != nil {
				return nil, err
			}
			renew := func() error {
				inTime, cancel := context.WithTimeout(ctx, dialTimeout)
				defer cancel()
				_, err := Get(inTime, c, anyKey, clientv3.WithCountOnly())
				return err
			}
			if err := cl.renewToken(renew); err != nil {
				return nil, err
			}
			return pb.NewWatchClient(cl.ActiveConnection()).Watch(ctx, streamOptions...)
		},
		Ended: func(err error) { c.streamEnded(cl, err); c.Metrics.Streamed(metrics.MethodWatch, etcderr.Code(err)) },
	}
	cl.renewals = &Renewals{
		Context: cl.life,
		Open: func(ctx context.Context) (pb.Lease_LeaseKeepAliveClient, error) {
			// As a part of a request that the breaker has let through.
			renew := func() error { _, err := cl.Get(ctx, anyKey, clientv3.WithCountOnly()); return err }
			if err := cl.renewToken(renew); err != nil {
				return nil, err
			}
			return pb.NewLeaseClient(cl.ActiveConnection()).LeaseKeepAlive(ctx, streamOptions...)
		},
	}
	return cl
}

// streamEnded takes note of why a stream has ended, or of what etcd has refused on it.
func (c *Connector) streamEnded(cl *Client, err error) {
	if cl.life.Err() != nil {
		return
	}
	err = rpctypes.Error(err)
	if etcderr.IsTokenInvalid(err) || errors.Is(err, rpctypes.ErrUserEmpty) {
		cl.token.Store(true)
	}
	if etcderr.TripsBreaker(err) {
		cl.breaker.report(err)
	}
}

// Watch watches a key, or all up to end.
func (c *Connector) Watch(cl *Client, key, end string, from int64) *Watch {
	c.Metrics.Streamed(metrics.MethodWatch, codes.OK)
	return cl.watches.Watch(key, end, from)
}

// setCurrent makes the outcome of an attempt the current one, unless the settings have changed meanwhile.
func (c *Connector) setCurrent(d *dialing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dialing != d {
		return false
	}
	c.dialing, c.client = nil, d.client
	switch {
	case etcderr.IsRefused(d.err):
		d.breaker.trip(d.err)
	case d.err == nil:
		d.breaker.reset()
		c.Go(func() { c.observe(d.client) })
	}
	return true
}

// observe notes when the connection is lost and when it is back. A connection that is made anew within a moment counts
// too: etcd's data may have been replaced behind it.
func (c *Connector) observe(cl *Client) {
	conn := cl.ActiveConnection()
	wasReady := false
	for {
		state := conn.GetState()
		switch state {
		case connectivity.Ready:
			wasDown := cl.down.Swap(nil) != nil
			if wasDown || wasReady {
				c.reconnected()
			}
			wasReady = true
			c.changed()
		case connectivity.TransientFailure:
			if now := time.Now(); cl.down.CompareAndSwap(nil, &now) {
				c.changed()
			}
		}
		if !conn.WaitForStateChange(cl.life, state) {
			return
		}
	}
}

// Replace makes a config current. The streams of the client before end at once, and it is closed.
func (c *Connector) Replace(config Config) {
	c.mu.Lock()
	old := c.client
	c.generation.Add(1)
	c.config, c.breaker, c.client, c.dialing = config, &breaker{}, nil, nil
	c.mu.Unlock()
	if old != nil {
		old.end()
		c.Go(func() { _ = old.close() })
	}
}

// Generation counts the configs. A request that begins afterwards uses the one of that generation, or a newer one.
func (c *Connector) Generation() int64 { return c.generation.Load() }

// Close closes the client, and no other one is made.
func (c *Connector) Close() error {
	c.mu.Lock()
	last := c.client
	c.client, c.dialing = nil, nil
	c.mu.Unlock()
	if last == nil {
		return nil
	}
	return last.close()
}

// ResetBreaker lets a request pass although the credentials were rejected.
func (c *Connector) ResetBreaker() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.breaker.reset()
}

// AwaitDown waits until none of the addresses takes a connection, or ctx ends.
func (c *Connector) AwaitDown(ctx context.Context) {
	cl, err := c.Connect(ctx)
	if err != nil {
		<-ctx.Done() // a refusal, or another client takes over
		return
	}
	_ = cl.await(ctx, connectivity.TransientFailure)
}

// User is the one of the present config.
func (c *Connector) User() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.config.User
}

// Current returns the client, if there is one, without making one.
func (c *Connector) Current() *Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.client
}

// IsConnected reports whether there is a client with a connection.
func (c *Connector) IsConnected() bool {
	cl := c.Current()
	return cl != nil && cl.IsConnected()
}

// explain adds to a missed deadline what is wrong with the connection.
func (c *Connector) explain(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if cause := c.connectError(); cause != nil {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// connectError returns why there is no connection, or nil if there is one, or nothing is known.
func (c *Connector) connectError() error {
	c.mu.Lock()
	cl, d := c.client, c.dialing
	c.mu.Unlock()
	switch {
	case cl != nil && cl.IsConnected():
	case cl != nil && cl.dialer != nil:
		return cl.dialer.Err()
	case cl != nil:
		return ErrDisconnected
	case d != nil:
		return d.dialer.Err()
	}
	return nil
}
