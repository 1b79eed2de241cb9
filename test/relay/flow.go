package relay

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"
)

// flow is one connection through a relay.
type flow struct {
	in, out *net.TCPConn
	over    chan struct{} // closed by abort
	once    sync.Once

	mu    sync.Mutex
	link  *Link
	route func(sent []byte) *Link // nil once it has told
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

func (f *flow) path() *Link {
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
func (f *flow) copy(way Direction, to, from *net.TCPConn) {
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

func (f *flow) collect(way Direction, from *net.TCPConn, parcels chan<- parcel) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if way == ToServer {
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

func (f *flow) deliver(way Direction, to *net.TCPConn, p parcel) bool {
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
