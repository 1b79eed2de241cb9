package conformance

import (
	"errors"
	"io"
	"net"
	"sync"
)

// relay passes TCP connections on to a server until it is cut. It is how one
// process loses its store while the others keep theirs.
type relay struct {
	target  string
	address string

	mu       sync.Mutex
	listener net.Listener // nil while cut
	conns    map[net.Conn]bool
	ended    bool
	running  sync.WaitGroup
}

func startRelay(target string) (*relay, error) {
	r := &relay{target: target, conns: map[net.Conn]bool{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.address = l.Addr().String()
	r.serve(l)
	return r, nil
}

func (r *relay) serve(l net.Listener) {
	r.listener = l
	r.running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			r.running.Go(func() { r.pass(in) })
		}
	})
}

func (r *relay) pass(in net.Conn) {
	defer r.drop(in)
	out, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer r.drop(out)
	if !r.keep(in, out) {
		return
	}
	var ways sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		ways.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // ends when either side does, which is all there is to know
			_ = way[0].Close()
			_ = way[1].Close()
		})
	}
	ways.Wait()
}

// keep takes connections into care, unless the relay has been cut meanwhile.
func (r *relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener == nil {
		return false
	}
	for _, c := range conns {
		r.conns[c] = true
	}
	return true
}

func (r *relay) drop(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
	_ = c.Close()
}

// cut closes every connection and refuses new ones.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		_ = r.listener.Close()
		r.listener = nil
	}
	for c := range r.conns {
		_ = c.Close()
	}
}

// restore accepts connections again, unless the relay was ended.
func (r *relay) restore() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil || r.ended {
		return nil
	}
	l, err := net.Listen("tcp", r.address)
	if err != nil {
		return errors.Join(errors.New("the relay's port was taken meanwhile"), err)
	}
	r.serve(l)
	return nil
}

// end cuts the relay for good and waits for its goroutines.
func (r *relay) end() {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.cut()
	r.running.Wait()
}

// relays are one process's ways to all members of a cluster.
type relays []*relay

func startRelays(targets []string) (relays, error) {
	var all relays
	for _, target := range targets {
		r, err := startRelay(target)
		if err != nil {
			all.end()
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func (all relays) addresses() []string {
	addresses := make([]string, len(all))
	for i, r := range all {
		addresses[i] = r.address
	}
	return addresses
}

func (all relays) cut() {
	for _, r := range all {
		r.cut()
	}
}

func (all relays) restore() error {
	var errs []error
	for _, r := range all {
		errs = append(errs, r.restore())
	}
	return errors.Join(errs...)
}

func (all relays) end() {
	for _, r := range all {
		r.end()
	}
}
