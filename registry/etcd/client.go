package etcd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"

	"github.com/micro-etcd/micro-etcd/internal/reflector"
)

// link is an etcd client and the time for which it is the current one.
type link struct {
	*clientv3.Client
	ctx   context.Context // ends when another client takes over, and with the registry
	end   context.CancelFunc
	owned bool

	renewals clientv3.Lease // keeps leases alive, instead of the client's own

	history history
	busy    sync.RWMutex // read-locked by requests that must not be cut off
	down    atomic.Int64 // when the connection was lost, in Unix nanoseconds; 0 while there is one
	reasons reasons
}

// during returns a context for a stream, which ends with ctx or when the link is no longer current.
func (l *link) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(l.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

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

// close ends the link, and the client if it is ours once it has answered its last request.
func (l *link) close() error {
	l.end()
	_ = l.renewals.Close()
	if !l.owned {
		return nil
	}
	l.busy.Lock()
	defer l.busy.Unlock()
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	select {
	case err := <-closed:
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	case <-time.After(closeTime):
		return errClientStuck
	}
}

// closeTime bounds the closing of a client, which takes no request but may never end: when etcd has
// refused several watches of one stream (client/v3 watch.go, addSubstream). So it does leaving a MeterProvider.
const closeTime = 2 * time.Second

var errClientStuck = errors.New("the etcd client doesn't close")

// connector hands out the client that belongs to the current settings, and makes it when it
// is first asked for.
type connector struct {
	ctx   context.Context // the registry's
	group *group          // the registry's

	log     *log
	metrics *metrics

	reconnected func() // called when a lost connection is back; does not block

	streams atomic.Int64 // see streamKey

	mu       sync.Mutex
	settings settings
	current  *link
	dialing  *dialing
	scout    *link     // see lookout
	refusals int       // in a row, of our user or password
	refused  error     // the last of them
	until    time.Time // before which we don't ask again
}

// dialing is an attempt to make a client, which several callers may await. With a password it
// is a round trip, because the etcd client authenticates before it is usable.
type dialing struct {
	done chan struct{}
	link *link
	err  error
}

// link returns the current client, at once unless it has yet to be made.
func (c *connector) link(ctx context.Context) (*link, error) {
	c.mu.Lock()
	if l := c.current; l != nil {
		defer c.mu.Unlock()
		if l.Ctx().Err() != nil && !l.owned {
			return nil, errClientClosed
		}
		if err := c.gate(); err != nil {
			return nil, err
		}
		return l, nil
	}
	if c.refused != nil && time.Now().Before(c.until) {
		defer c.mu.Unlock()
		return nil, c.refused
	}
	d := c.dialing
	if d == nil {
		d = &dialing{done: make(chan struct{})}
		settings := c.settings
		if c.ctx.Err() != nil || !c.group.run(func() { c.dial(d, settings) }) {
			c.mu.Unlock()
			return nil, ErrClosed
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

func (c *connector) dial(d *dialing, s settings) {
	defer close(d.done)
	c.group.run(func() { c.explore(d) })
	client, err := s.dial(c.ctx)
	if err != nil {
		d.err = err
	} else {
		d.link = c.newLink(client, s.client == nil)
	}
	if c.adopt(d) {
		return
	}
	if d.link != nil {
		_ = d.link.close()
	}
	d.link, d.err = nil, errReplaced // and so is the reason why there is none
}

func (c *connector) newLink(client *clientv3.Client, owned bool) *link {
	l := &link{Client: client, owned: owned}
	l.ctx, l.end = context.WithCancel(c.ctx)
	l.renewals = newRenewals(client, c.admit, func(err error) { c.heed(l, err) })
	return l
}

// adopt makes the outcome of an attempt the current one, unless the settings have changed meanwhile.
func (c *connector) adopt(d *dialing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dialing != d {
		return false
	}
	c.dialing, c.current = nil, d.link
	c.refused = nil
	switch {
	case refused(d.err):
		c.refuse(d.err)
	case d.err == nil:
		c.refusals = 0
		c.group.run(func() { c.observe(d.link) })
		c.dismissScout()
	}
	return true
}

// refuse lets nobody ask again for a while. It needs mu.
func (c *connector) refuse(err error) {
	c.refusals++
	c.refused, c.until = err, time.Now().Add(backoff(c.refusals, err))
}

// gate lets requests pass, unless etcd has refused our password: each would cost it an authentication. Then one passes
// now and then, and the others get its answer. It needs mu.
func (c *connector) gate() error {
	if c.refused == nil {
		return nil
	}
	if time.Now().Before(c.until) {
		return c.refused
	}
	c.refuse(c.refused)
	return nil
}

// admit is gate for who doesn't hold mu.
func (c *connector) admit() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gate()
}

// heed takes note of what came of a request that passed the gate.
func (c *connector) heed(l *link, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case l != c.current:
	case err == nil:
		c.openGate()
	case c.refused == nil && errors.Is(err, rpctypes.ErrAuthFailed):
		c.refuse(err)
	}
}

// relent lets everybody ask once more.
func (c *connector) relent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.openGate()
}

// openGate forgets a refusal. It needs mu.
func (c *connector) openGate() { c.refusals, c.refused = 0, nil }

// observe notes when the connection is lost and when it is back. A connection that is made anew
// within a moment counts too: etcd's data may have been replaced behind it.
func (c *connector) observe(l *link) {
	conn := l.ActiveConnection()
	wasReady := false
	for {
		state := conn.GetState()
		switch {
		case state == connectivity.Ready:
			wasDown := l.down.Swap(0) != 0
			if wasDown {
				c.log.infof("connected to etcd again")
			}
			if wasDown || wasReady {
				c.reconnected()
			}
			wasReady = true
		case state == connectivity.TransientFailure && l.down.CompareAndSwap(0, time.Now().UnixNano()):
			l.reason(c.group) // so that it is known when a call runs out of time
			if wasReady {
				c.log.warnf("lost the connection to etcd; look-ups are served from the last view")
			} else {
				c.log.warnf("can't connect to etcd at %v", l.Endpoints())
			}
		}
		if !conn.WaitForStateChange(l.ctx, state) {
			return
		}
	}
}

// errClientClosed says that the caller has closed the client that we were lent.
var errClientClosed = errors.New("the etcd client given with the option Client is closed")

// errReplaced says that a call was cut off because another client took over.
var errReplaced = reflector.ErrReplaced

// replace makes the settings current and returns the client of those before, if any. The
// caller ends and closes it.
func (c *connector) replace(s settings) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.current
	c.settings, c.current, c.dialing = s, nil, nil
	c.openGate()
	c.dismissScout()
	return old
}

// peek returns the client, if there is one, without making one.
func (c *connector) peek() (*link, settings) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current, c.settings
}

// streamKey is gRPC metadata that tells one watch stream from another: the etcd client puts
// watches with equal metadata on one stream (client/v3 watch.go, streamKeyFromCtx), and one
// whose token has expired refuses new watches for ever.
const streamKey = "micro-etcd-stream"

// stream returns a context for a watch. It requires a leader, because a member without one
// says that a watch is created and then nothing.
//
// After a watch has failed, renew puts those to come on another stream.
func (c *connector) stream(ctx context.Context) (_ context.Context, renew func(error)) {
	number := c.streams.Load()
	ctx = metadata.AppendToOutgoingContext(ctx, streamKey, strconv.FormatInt(number, 10))
	c.metrics.streamed(ctx, methodWatch, nil)
	return clientv3.WithRequireLeader(ctx), func(failure error) {
		if c.streams.CompareAndSwap(number, number+1) {
			c.metrics.streamed(ctx, methodWatch, failure)
		}
	}
}

var errWatchEnded = errors.New("watch ended without a reason")

// watchError says why a watch can't go on, if it can't.
func watchError(response clientv3.WatchResponse, ok bool) error {
	if !ok {
		return errWatchEnded
	}
	return response.Err()
}

// Connection parameters of the etcd client; the measurements behind them are in docs/design.md.
const (
	// dialTimeout also bounds the first answer to a keepalive (client/v3 lease.go, NewLease).
	dialTimeout = 5 * time.Second
	// With one that dies without a word, and the next one too, these come to 16 s. gRPC makes less
	// than 10 s 10 s (dialoptions.go, WithKeepaliveParams).
	dialKeepAliveTime    = 10 * time.Second
	dialKeepAliveTimeout = 3 * time.Second
)

// connectParams override gRPC's reconnect backoff, which otherwise grows to two minutes and
// keeps a client away from an etcd that is long back.
var connectParams = grpc.ConnectParams{
	Backoff: grpcbackoff.Config{
		BaseDelay:  100 * time.Millisecond,
		Multiplier: 1.6,
		Jitter:     0.2,
		MaxDelay:   500 * time.Millisecond,
	},
	MinConnectTimeout: 3 * time.Second,
}

func (s settings) dial(ctx context.Context) (*clientv3.Client, error) {
	if s.client != nil {
		return s.client, nil
	}
	log := zap.NewNop()
	if s.logConfig != nil {
		var err error
		if log, err = s.logConfig.Build(); err != nil {
			return nil, fmt.Errorf("LogConfig: %w", err) // New could do it: so it may be possible again
		}
	}
	client, err := clientv3.New(clientv3.Config{
		Context:              ctx,
		Endpoints:            s.endpoints,
		TLS:                  s.tls,
		Username:             s.credentials.username,
		Password:             s.credentials.password,
		DialTimeout:          dialTimeout,
		DialKeepAliveTime:    dialKeepAliveTime,
		DialKeepAliveTimeout: dialKeepAliveTimeout,
		DialOptions:          []grpc.DialOption{grpc.WithConnectParams(connectParams)},
		Logger:               log,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %v: %w", s.endpoints, err)
	}
	return client, nil
}
