package etcd

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// fakeNetwork is what lies between clients and a fake etcd: connections in memory that can be
// cut, held up and slowed down. Whoever waits on it waits durably in the sense of synctest.
type fakeNetwork struct {
	accepting chan net.Conn
	closed    chan struct{}

	mu    sync.Mutex
	down  bool              // nobody listens
	held  map[bool]bool     // directions in which nothing arrives; true: towards etcd
	delay time.Duration     // of every packet
	freed chan struct{}     // closed and renewed when something isn't held any more
	wires map[*fakeWire]any // those in use
}

func newFakeNetwork() *fakeNetwork {
	return &fakeNetwork{
		accepting: make(chan net.Conn),
		closed:    make(chan struct{}),
		held:      make(map[bool]bool),
		freed:     make(chan struct{}),
		wires:     make(map[*fakeWire]any),
	}
}

var errConnectionRefused = errors.New("connection refused")

// dial connects to the fake etcd. While packets are held up, a connection can't be made.
func (n *fakeNetwork) dial(ctx context.Context, _ string) (net.Conn, error) {
	for {
		n.mu.Lock()
		down, held, freed := n.down, n.held[true] || n.held[false], n.freed
		n.mu.Unlock()
		switch {
		case down:
			return nil, errConnectionRefused
		case !held:
			return n.connect(ctx)
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (n *fakeNetwork) connect(ctx context.Context) (net.Conn, error) {
	there, back := newFakeWire(n, true), newFakeWire(n, false)
	select {
	case n.accepting <- &fakeConn{reads: there, writes: back}:
		n.mu.Lock()
		n.wires[there], n.wires[back] = nil, nil
		n.mu.Unlock()
		return &fakeConn{reads: back, writes: there}, nil
	case <-n.closed:
		return nil, errConnectionRefused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept, Close and Addr make it a net.Listener for the server.
func (n *fakeNetwork) Accept() (net.Conn, error) {
	select {
	case c := <-n.accepting:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *fakeNetwork) Close() error {
	close(n.closed)
	return nil
}

func (n *fakeNetwork) Addr() net.Addr { return fakeAddress{} }

// cut breaks every connection, and refuses new ones until mend.
func (n *fakeNetwork) cut() {
	n.mu.Lock()
	n.down = true
	wires := n.wires
	n.wires = make(map[*fakeWire]any)
	n.mu.Unlock()
	for w := range wires {
		w.close()
	}
}

// hold makes packets disappear in both directions or one, without an error for anybody.
func (n *fakeNetwork) hold(towardsEtcd ...bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, direction := range towardsEtcd {
		n.held[direction] = true
	}
}

// slow delays every packet from now on.
func (n *fakeNetwork) slow(delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = delay
}

// mend ends what cut, hold and slow began. What was held up arrives, as TCP sends it again.
func (n *fakeNetwork) mend() {
	n.mu.Lock()
	n.down, n.delay = false, 0
	clear(n.held)
	close(n.freed)
	n.freed = make(chan struct{})
	wires := make([]*fakeWire, 0, len(n.wires))
	for w := range n.wires {
		wires = append(wires, w)
	}
	n.mu.Unlock()
	for _, w := range wires {
		w.arrive()
	}
}

// passing reports whether packets pass in a direction, and how late.
func (n *fakeNetwork) passing(towardsEtcd bool) (bool, time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.held[towardsEtcd], n.delay
}

func (n *fakeNetwork) forget(w *fakeWire) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.wires, w)
}

// fakeWire is one direction of a connection. It buffers without bound, so nobody waits to write.
type fakeWire struct {
	network     *fakeNetwork
	towardsEtcd bool

	mu       sync.Mutex
	changed  sync.Cond
	sent     []packet // not arrived yet
	arrived  []byte
	finished bool // its writer has closed it, which the reader hears in its turn
	closed   bool
	deadline time.Time // for reading
}

type packet struct {
	data []byte
	due  time.Time
}

func newFakeWire(n *fakeNetwork, towardsEtcd bool) *fakeWire {
	w := &fakeWire{network: n, towardsEtcd: towardsEtcd}
	w.changed.L = &w.mu
	return w
}

func (w *fakeWire) write(data []byte) (int, error) {
	passing, delay := w.network.passing(w.towardsEtcd)
	w.mu.Lock()
	if w.closed || w.finished {
		w.mu.Unlock()
		return 0, io.ErrClosedPipe
	}
	w.sent = append(w.sent, packet{append([]byte(nil), data...), time.Now().Add(delay)})
	w.mu.Unlock()
	switch {
	case passing && delay == 0:
		w.arrive()
	case passing:
		time.AfterFunc(delay, w.arrive)
	}
	return len(data), nil
}

// arrive hands over the packets that are due.
func (w *fakeWire) arrive() {
	passing, delay := w.network.passing(w.towardsEtcd)
	if !passing {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.sent) > 0 && (delay == 0 || !w.sent[0].due.After(time.Now())) {
		w.arrived = append(w.arrived, w.sent[0].data...)
		w.sent = w.sent[1:]
	}
	w.closed = w.closed || w.finished && len(w.sent) == 0
	w.changed.Broadcast()
}

// finish ends a wire after what was sent on it.
func (w *fakeWire) finish() {
	w.mu.Lock()
	w.finished = true
	w.mu.Unlock()
	w.arrive()
}

func (w *fakeWire) read(into []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.arrived) == 0 {
		switch {
		case w.closed:
			return 0, io.EOF
		case !w.deadline.IsZero() && !time.Now().Before(w.deadline):
			return 0, context.DeadlineExceeded
		}
		w.changed.Wait()
	}
	n := copy(into, w.arrived)
	w.arrived = w.arrived[n:]
	return n, nil
}

func (w *fakeWire) close() {
	w.network.forget(w)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.changed.Broadcast()
}

func (w *fakeWire) setDeadline(t time.Time) {
	w.mu.Lock()
	w.deadline = t
	w.mu.Unlock()
	if !t.IsZero() {
		time.AfterFunc(time.Until(t), func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changed.Broadcast()
		})
	}
}

// fakeConn is one end of a connection.
type fakeConn struct{ reads, writes *fakeWire }

func (c *fakeConn) Read(b []byte) (int, error)  { return c.reads.read(b) }
func (c *fakeConn) Write(b []byte) (int, error) { return c.writes.write(b) }

func (c *fakeConn) Close() error {
	c.reads.close()
	c.writes.finish()
	return nil
}

func (c *fakeConn) LocalAddr() net.Addr  { return fakeAddress{} }
func (c *fakeConn) RemoteAddr() net.Addr { return fakeAddress{} }

func (c *fakeConn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *fakeConn) SetWriteDeadline(_ time.Time) error { return nil } // a write never waits

func (c *fakeConn) SetReadDeadline(t time.Time) error {
	c.reads.setDeadline(t)
	return nil
}

type fakeAddress struct{}

func (fakeAddress) Network() string { return "fake" }
func (fakeAddress) String() string  { return "fake" }
