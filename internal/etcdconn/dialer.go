package etcdconn

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Dialer makes the connections of one etcd client. It knows the connection to each member, so that one whose member is
// silent can be closed, and why the last attempt to connect has failed, which the load balancing policy tells it.
//
// gRPC's own handling of HTTPS_PROXY is off with it: etcd is not reached through a proxy.
type Dialer struct {
	connect func(ctx context.Context, address string) (net.Conn, error) // nil for dialAny

	mu       sync.Mutex
	conns    map[string]memberConn // by address
	err      error
	ejected  string        // the address of a member that is left alone for a while, because it was silent; one at most
	readmit  chan struct{} // closed when that is over before its time
	readmits time.Time
	secure   bool // with TLS
}

// memberConn is a connection that gRPC was given.
type memberConn struct {
	net.Conn
	made  time.Time
	ready bool // the member has answered
}

const (
	// raceTime is the head start of an address before the next one of the same name, and of a connection attempt before
	// another one to the same address: what swallows packets now may have stopped doing so.
	raceTime  = 250 * time.Millisecond
	againTime = time.Second
	// ejectTime is how long a member is left alone that was silent.
	ejectTime = 5 * time.Second
	// maxAttempts bounds the attempts that are under way at one time.
	maxAttempts = 12
)

// DialOptions are what the gRPC client of a number of members needs to use the dialer. config is nil for a connection
// without TLS.
func (d *Dialer) DialOptions(members int, config *tls.Config) []grpc.DialOption {
	inner := insecure.NewCredentials()
	if d.secure = config != nil; d.secure {
		inner = credentials.NewTLS(config)
	}
	return append(withPolicy(),
		grpc.WithContextDialer(d.dial),
		grpc.WithTransportCredentials(dialerCredentials{inner, d}),
		grpc.WithChainUnaryInterceptor((&authenticator{members: members}).intercept),
		grpc.WithStreamInterceptor(commitStream), // in place of the etcd client's, which authenticates for each stream
	)
}

// dial returns the raw connection: gRPC sets TCP_USER_TIMEOUT on nothing else.
func (d *Dialer) dial(ctx context.Context, address string) (net.Conn, error) {
	d.awaitReadmission(ctx, address)
	connect := d.connect
	if connect == nil {
		connect = dialAny
	}
	conn, err := connect(ctx, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conns == nil {
		d.conns = make(map[string]memberConn)
	}
	d.conns[address] = memberConn{Conn: conn, made: time.Now()}
	return conn, nil
}

// dialAny connects to whichever address of a name answers first.
func dialAny(ctx context.Context, address string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if strings.HasPrefix(path, "///") {
			path = path[2:]
		}
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ips := []string{host}
	if net.ParseIP(host) == nil {
		if ips, err = net.DefaultResolver.LookupHost(ctx, host); err != nil {
			return nil, err
		}
	}
	targets := make([]string, len(ips))
	for i, ip := range ips {
		targets[i] = net.JoinHostPort(ip, port)
	}
	return race(ctx, targets)
}

type attempt struct {
	conn net.Conn
	err  error
}

// dialRace connects to some targets, each a moment after the one before, and to all of them again and again: what
// swallows packets now may stop to do so. The first connection wins.
type dialRace struct {
	targets  []string
	attempts chan attempt
	begun    int
	running  int
	err      error // of the last attempt that failed
}

func race(ctx context.Context, targets []string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	r := &dialRace{targets: targets, attempts: make(chan attempt)}
	defer r.wait()
	defer cancel()
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			next.Reset(r.start(ctx))
		case a := <-r.attempts:
			r.running--
			if a.err == nil {
				return a.conn, nil
			}
			r.err = a.err
			if r.running == 0 && r.begun >= len(targets) {
				return nil, r.err
			}
			if r.begun < len(targets) {
				next.Reset(0)
			}
		case <-ctx.Done():
			return nil, cmp.Or(r.err, fmt.Errorf("dial tcp %s: %w", strings.Join(targets, ", "), context.Cause(ctx)))
		}
	}
}

// start begins an attempt, and returns when to begin the next one.
func (r *dialRace) start(ctx context.Context) time.Duration {
	if r.running < maxAttempts {
		target := r.targets[r.begun%len(r.targets)]
		r.begun++
		r.running++
		go func() {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", target)
			r.attempts <- attempt{conn, err}
		}()
	}
	if r.begun%len(r.targets) == 0 {
		return againTime
	}
	return raceTime
}

// wait waits for the attempts that are under way, which have been canceled.
func (r *dialRace) wait() {
	for ; r.running > 0; r.running-- {
		if a := <-r.attempts; a.conn != nil {
			_ = a.conn.Close()
		}
	}
}

// noAnswerTime is how long a member may take to answer on a new connection until that is said. gRPC gives it longer.
const noAnswerTime = 2 * time.Second

// Err returns why the last attempt to connect failed, or seems to. It is nil if none has since there was a connection.
func (d *Dialer) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.err
	}
	for address, c := range d.conns {
		if !c.ready && time.Since(c.made) > noAnswerTime {
			return noAnswer(address)
		}
	}
	return nil
}

// connected takes note that a member has answered on a new connection.
func (d *Dialer) connected(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = nil
	if c, ok := d.conns[address]; ok {
		c.ready = true
		d.conns[address] = c
	}
}

// failed takes note of why there is no connection to a member.
func (d *Dialer) failed(address string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = reason(address, err, d.secure)
}

func noAnswer(address string) error {
	return fmt.Errorf("%s accepts connections but doesn't answer", address)
}

// reason says what gRPC's error of a connection to an address means. gRPC tells the steps of connecting apart in the
// text alone (internal/transport http2_client.go, NewHTTP2Client).
func reason(address string, err error, secure bool) error {
	cause := errors.Unwrap(err)
	hungUp := errors.Is(cause, io.EOF) || errors.Is(cause, syscall.ECONNRESET) || errors.Is(cause, syscall.EPIPE)
	switch {
	case cause == nil:
		return err
	case strings.Contains(err.Error(), "handshake failed"):
		return fmt.Errorf("authentication handshake failed: %w", cause)
	case errors.Is(cause, net.ErrClosed): // by gRPC
		return noAnswer(address)
	case hungUp && secure:
		return fmt.Errorf("%s closed the connection after the TLS handshake: it may not accept our certificate", address)
	case hungUp:
		return fmt.Errorf("%s accepted the connection and closed it without an answer: "+
			"nothing may be listening behind that port, or it may expect TLS (https://)", address)
	}
	return cause
}

// Close closes the connection to a member that hasn't answered what was sent at a time, while others have. One that was
// made since is left.
func (d *Dialer) Close(address string, sent time.Time) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.conns[address]; ok && c.made.Before(sent) {
		delete(d.conns, address)
		d.ejectLocked(address)
		_ = c.Close()
	}
}

// ejectLocked leaves a member alone for a while, and none but that: one that is cut off from the others connects at
// once and is silent again, and each request that meets it is held up.
func (d *Dialer) ejectLocked(address string) {
	d.readmits = time.Now().Add(ejectTime)
	if d.ejected == address {
		return
	}
	if d.readmit != nil {
		close(d.readmit)
	}
	d.ejected, d.readmit = address, make(chan struct{})
}

// awaitReadmission waits until a member may be connected to.
func (d *Dialer) awaitReadmission(ctx context.Context, address string) {
	d.mu.Lock()
	ejected, readmit, left := d.ejected == address, d.readmit, time.Until(d.readmits)
	d.mu.Unlock()
	if !ejected || left <= 0 {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-readmit:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// dialerCredentials are the way from gRPC's balancer.BuildOptions to the dialer: a load balancing policy is the same
// for all clients of a process.
type dialerCredentials struct {
	credentials.TransportCredentials
	dialer *Dialer
}

func (c dialerCredentials) Clone() credentials.TransportCredentials {
	return dialerCredentials{c.TransportCredentials.Clone(), c.dialer}
}

// commitStream keeps gRPC from repeating a stream by itself (stream.go, retryLocked), which holds up Send until there
// is a connection.
func commitStream(
	ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer,
	opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, cc, method, opts...)
	if err == nil {
		stream.Context()
	}
	return stream, err
}
