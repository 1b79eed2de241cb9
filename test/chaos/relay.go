package chaos

import (
	"bytes"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// direction is one way through a link.
type direction int

const (
	toServer direction = iota
	toClient
)

// link is a network path on which faults can be put. While a direction is held, what is sent waits and is delivered
// later, as TCP does with packets that are lost for a while: no reset, and no end of a connection comes through either.
// A new connection is accepted by the relay and then hears nothing.
type link struct {
	mu      sync.Mutex
	held    [2]bool
	delay   [2]time.Duration
	changed chan struct{} // closed at every change
}

func newLink() *link { return &link{changed: make(chan struct{})} }

func (l *link) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *link) hold(ways ...direction) {
	l.change(func() {
		for _, w := range ways {
			l.held[w] = true
		}
	})
}

// slow delays every byte of a direction.
func (l *link) slow(way direction, by time.Duration) { l.change(func() { l.delay[way] = by }) }

func (l *link) heal() {
	l.change(func() { l.held, l.delay = [2]bool{}, [2]time.Duration{} })
}

// pass waits until a direction is open, and reports whether it came to that before done.
func (l *link) pass(way direction, done <-chan struct{}) bool {
	for {
		l.mu.Lock()
		held, changed := l.held[way], l.changed
		l.mu.Unlock()
		if !held {
			return true
		}
		select {
		case <-changed:
		case <-done:
			return false
		}
	}
}

func (l *link) latency(way direction) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.delay[way]
}

// relay passes TCP connections on to a server, each over a link.
type relay struct {
	address, target string
	link            *link
	// route finds another link for a connection by what the client has sent. It returns nil while that doesn't tell.
	route func(sent []byte) *link

	running sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while it refuses
	flows    map[*flow]bool
}

// startRelay listens at address, which may end in port 0. route may be nil.
func startRelay(address, target string, l *link, route func(sent []byte) *link) (*relay, error) {
	r := &relay{address: address, target: target, link: l, route: route, flows: map[*flow]bool{}}
	if err := r.accept(); err != nil {
		return nil, err
	}
	return r, nil
}

// accept undoes refuse.
func (r *relay) accept() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", r.address) //nolint:noctx // doesn't wait
	if err != nil {
		return err
	}
	r.listener, r.address = l, l.Addr().String()
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

// refuse resets every connection and refuses new ones.
func (r *relay) refuse() {
	r.mu.Lock()
	if r.listener != nil {
		_ = r.listener.Close()
		r.listener = nil
	}
	r.mu.Unlock()
	r.reset()
}

// reset breaks every connection.
func (r *relay) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for f := range r.flows {
		f.abort()
	}
}

func (r *relay) end() {
	r.refuse()
	r.running.Wait()
}

func (r *relay) serve(in net.Conn) {
	out, err := net.DialTimeout("tcp", r.target, 5*time.Second) //nolint:noctx // bounded
	if err != nil {
		_ = in.Close()
		return
	}
	f := &flow{route: r.route, link: r.link, in: in.(*net.TCPConn), out: out.(*net.TCPConn), over: make(chan struct{})}
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
	ways.Go(func() { f.copy(toServer, f.out, f.in) })
	ways.Go(func() { f.copy(toClient, f.in, f.out) })
	ways.Wait()
	r.mu.Lock()
	delete(r.flows, f)
	r.mu.Unlock()
}

// flow is one connection through a relay.
type flow struct {
	in, out *net.TCPConn
	over    chan struct{} // closed by abort
	once    sync.Once

	mu    sync.Mutex
	link  *link
	route func(sent []byte) *link // nil once it has told
}

// abort resets both sides, unless they have ended.
func (f *flow) abort() {
	f.once.Do(func() {
		close(f.over)
		for _, c := range []*net.TCPConn{f.in, f.out} {
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	})
}

func (f *flow) path() *link {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.link
}

// learn finds out whose connection this is.
func (f *flow) learn(sent []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.route == nil {
		return
	}
	if l := f.route(sent); l != nil {
		f.link, f.route = l, nil
	}
}

// parcel is bytes on their way.
type parcel struct {
	bytes []byte
	due   time.Time
}

// copy passes one direction on until it ends. Its end, or that it broke, is held up as its bytes are.
func (f *flow) copy(way direction, to, from *net.TCPConn) {
	parcels := make(chan parcel, 64)
	var err error
	go func() {
		defer close(parcels)
		err = f.collect(way, from, parcels)
	}()
	for p := range parcels {
		if !f.deliver(way, to, p) {
			f.abort()
		}
	}
	switch {
	case !f.path().pass(way, f.over): // aborted
	case err == io.EOF: //nolint:errorlint // net.Conn.Read returns it bare
		_ = to.CloseWrite()
	default:
		f.abort()
	}
}

func (f *flow) collect(way direction, from *net.TCPConn, parcels chan<- parcel) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if way == toServer {
				f.learn(buffer[:n])
			}
			select {
			case parcels <- parcel{bytes.Clone(buffer[:n]), time.Now().Add(f.path().latency(way))}:
			case <-f.over:
				return net.ErrClosed
			}
		}
		if err != nil {
			return err
		}
	}
}

func (f *flow) deliver(way direction, to *net.TCPConn, p parcel) bool {
	if wait := time.Until(p.due); wait > 0 {
		select {
		case <-time.After(wait):
		case <-f.over:
			return false
		}
	}
	if !f.path().pass(way, f.over) {
		return false
	}
	_, err := to.Write(p.bytes)
	return err == nil
}

var fromHeader = []byte("X-Server-From: ")

// sender returns the id of the etcd member that an HTTP request between members names as its origin.
func sender(sent []byte) string {
	i := bytes.Index(sent, fromHeader)
	if i < 0 {
		return ""
	}
	id := sent[i+len(fromHeader):]
	if end := slices.Index(id, '\r'); end >= 0 {
		return string(id[:end])
	}
	return ""
}
