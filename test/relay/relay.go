// Package relay puts network faults between TCP clients and servers.
package relay

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// Relay passes TCP connections on to a server, each over a link.
type Relay struct {
	// Link is the way of all connections that are not routed to another one.
	Link *Link

	// Target is the server's host and port.
	Target string

	route func(sent []byte) *Link

	address string
	release func() // lets go of the port
	running sync.WaitGroup
	over    chan struct{} // closed by End

	mu       sync.Mutex
	listener net.Listener // nil while it refuses
	flows    map[*flow]bool
	ended    bool
}

// Start listens at an IPv4 address, which may end in port 0. All connections go over l, unless route, which may be nil,
// finds another link by what a client sends: it is asked about everything sent, as it comes, until it returns one.
func Start(address, target string, l *Link, route func(sent []byte) *Link) (*Relay, error) {
	release, address, err := holdPort(address)
	if err != nil {
		return nil, err
	}
	r := &Relay{
		address: address, release: release, over: make(chan struct{}),
		Target: target, Link: l, route: route, flows: map[*flow]bool{},
	}
	if err := r.Accept(); err != nil {
		release()
		return nil, err
	}
	return r, nil
}

// Address is the host and port to connect to.
func (r *Relay) Address() string { return r.address }

// Accept undoes Refuse, but not End.
func (r *Relay) Accept() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil || r.ended {
		return nil
	}
	l, err := listen(r.address)
	if err != nil {
		return err
	}
	r.listener = l
	r.running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			r.running.Go(func() { r.serve(in) })
		}
	})
	return nil
}

const (
	listenTries = 1000
	listenPause = time.Millisecond
)

// listen has patience with an address that was let go of a moment ago: a child process that this one was just starting
// has a copy of every socket until its program runs.
func listen(address string) (net.Listener, error) {
	var l net.Listener
	err := error(syscall.EADDRINUSE)
	for try := 0; try < listenTries && errors.Is(err, syscall.EADDRINUSE); try++ {
		if try > 0 {
			time.Sleep(listenPause)
		}
		l, err = net.Listen("tcp", address) //nolint:noctx // doesn't wait
	}
	return l, err
}

// Refuse resets every connection and refuses new ones.
func (r *Relay) Refuse() {
	r.mu.Lock()
	if r.listener != nil {
		_ = r.listener.Close()
		r.listener = nil
	}
	r.mu.Unlock()
	r.Reset()
}

// Reset breaks every connection.
func (r *Relay) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for f := range r.flows {
		f.abort()
	}
}

// End refuses for good, and waits for the relay's goroutines.
func (r *Relay) End() {
	r.mu.Lock()
	if !r.ended {
		close(r.over)
		defer r.release()
	}
	r.ended = true
	r.mu.Unlock()
	r.Refuse()
	r.running.Wait()
}

func (r *Relay) serve(in net.Conn) {
	select {
	case <-time.After(r.Link.latency(ToServer) + r.Link.latency(ToClient)): // as TCP's handshake takes
	case <-r.over:
		_ = in.Close()
		return
	}
	out, err := net.DialTimeout("tcp", r.Target, 5*time.Second) //nolint:noctx // bounded
	if err != nil {
		_ = in.Close()
		return
	}
	f := &flow{route: r.route, link: r.Link, in: in.(*net.TCPConn), out: out.(*net.TCPConn), over: make(chan struct{})}
	defer f.abort()
	r.mu.Lock()
	refusing := r.listener == nil
	if !refusing {
		r.flows[f] = true
	}
	r.mu.Unlock()
	if refusing {
		return
	}
	var ways sync.WaitGroup
	ways.Go(func() { f.copy(ToServer, f.out, f.in) })
	ways.Go(func() { f.copy(ToClient, f.in, f.out) })
	ways.Wait()
	r.mu.Lock()
	delete(r.flows, f)
	r.mu.Unlock()
}
