package etcdfake

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"sync"
	"time"
)

// Members are the addresses of a fake etcd that tests give a client which is to have several. Any other one leads to it
// as well.
var Members = []string{"member1:2379", "member2:2379", "member3:2379"}

// all stands for all members where one is asked for.
const all = ""

// network is what lies between clients and a fake etcd: connections in memory that can be cut, held up and slowed down,
// all of them or those to one member. Whoever waits on it waits durably in the sense of synctest.
type network struct {
	accepting chan net.Conn
	closed    chan struct{}

	mu    sync.Mutex
	down  map[string]bool // members at which nobody listens
	held  map[way]bool    // where nothing arrives
	delay time.Duration   // of every packet
	freed chan struct{}   // closed and renewed when something isn't held any more
	wires map[*wire]any   // those in use
}

// way is where packets go.
type way struct {
	member      string
	towardsEtcd bool
}

func newNetwork() *network {
	return &network{
		accepting: make(chan net.Conn),
		closed:    make(chan struct{}),
		down:      make(map[string]bool),
		held:      make(map[way]bool),
		freed:     make(chan struct{}),
		wires:     make(map[*wire]any),
	}
}

var errConnectionRefused = errors.New("connection refused")

// Dial connects to a member. While all packets are held up, a connection can't be made.
func (n *network) Dial(ctx context.Context, member string) (net.Conn, error) {
	for {
		n.mu.Lock()
		down, held, freed := n.downLocked(member), n.held[way{all, true}] || n.held[way{all, false}], n.freed
		n.mu.Unlock()
		switch {
		case down:
			return nil, errConnectionRefused
		case !held:
			return n.connect(ctx, member)
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (n *network) downLocked(member string) bool { return n.down[all] || n.down[member] }

func (n *network) connect(ctx context.Context, member string) (net.Conn, error) {
	there, back := newWire(n, way{member, true}), newWire(n, way{member, false})
	select {
	case n.accepting <- &conn{reads: there, writes: back}:
		n.mu.Lock()
		n.wires[there], n.wires[back] = nil, nil
		down := n.downLocked(member)
		n.mu.Unlock()
		if down { // cut meanwhile
			there.close()
			back.close()
			return nil, errConnectionRefused
		}
		return &conn{reads: back, writes: there}, nil
	case <-n.closed:
		return nil, errConnectionRefused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept, Close and Addr make it a net.Listener for the server.
func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accepting:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	close(n.closed)
	return nil
}

func (n *network) Addr() net.Addr { return address{} }

// Cut breaks every connection, and refuses new ones until mend.
func (n *network) Cut() { n.Kill(all) }

// Kill breaks the connections to a member, and refuses new ones until Revive.
func (n *network) Kill(member string) {
	n.mu.Lock()
	n.down[member] = true
	var broken []*wire
	for w := range n.wires {
		if member == all || w.way.member == member {
			broken = append(broken, w)
		}
	}
	n.mu.Unlock()
	for _, w := range broken {
		w.close()
	}
}

// Hold makes packets disappear in both directions or one, without an error for anybody.
func (n *network) Hold(towardsEtcd ...bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, direction := range towardsEtcd {
		n.held[way{all, direction}] = true
	}
}

// Silence makes a member say nothing until Revive, on connections there are and on new ones, which it takes. If it
// hears, it does what it is asked at once, and else afterwards.
func (n *network) Silence(member string, hears bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held[way{member, false}] = true
	n.held[way{member, true}] = !hears
}

// Slow delays every packet from now on.
func (n *network) Slow(delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = delay
}

// Mend ends what cut, hold and slow began, and revives the members.
func (n *network) Mend() {
	n.Slow(0)
	n.Revive(all)
}

// Revive ends what Kill or Silence began. What was held up arrives, as TCP sends it again.
func (n *network) Revive(member string) {
	n.mu.Lock()
	maps.DeleteFunc(n.down, func(m string, _ bool) bool { return member == all || m == member })
	maps.DeleteFunc(n.held, func(w way, _ bool) bool { return member == all || w.member == member })
	close(n.freed)
	n.freed = make(chan struct{})
	wires := make([]*wire, 0, len(n.wires))
	for w := range n.wires {
		wires = append(wires, w)
	}
	n.mu.Unlock()
	for _, w := range wires {
		w.arrive()
	}
}

// passing reports whether packets pass, and how late.
func (n *network) passing(w way) (bool, time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.held[w] && !n.held[way{all, w.towardsEtcd}], n.delay
}

func (n *network) forget(w *wire) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.wires, w)
}

// wire is one direction of a connection. It buffers without bound, so nobody waits to write.
type wire struct {
	network *network
	way     way

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

func newWire(n *network, goes way) *wire {
	w := &wire{network: n, way: goes}
	w.changed.L = &w.mu
	return w
}

func (w *wire) write(data []byte) (int, error) {
	passing, delay := w.network.passing(w.way)
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
func (w *wire) arrive() {
	passing, delay := w.network.passing(w.way)
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
func (w *wire) finish() {
	w.mu.Lock()
	w.finished = true
	w.mu.Unlock()
	w.arrive()
}

func (w *wire) read(into []byte) (int, error) {
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

func (w *wire) close() {
	w.network.forget(w)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.changed.Broadcast()
}

func (w *wire) setDeadline(t time.Time) {
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

// conn is one end of a connection.
type conn struct{ reads, writes *wire }

func (c *conn) Read(b []byte) (int, error)  { return c.reads.read(b) }
func (c *conn) Write(b []byte) (int, error) { return c.writes.write(b) }

func (c *conn) Close() error {
	c.reads.close()
	c.writes.finish()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return address{} }
func (c *conn) RemoteAddr() net.Addr { return address{} }

func (c *conn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *conn) SetWriteDeadline(_ time.Time) error { return nil } // a write never waits

func (c *conn) SetReadDeadline(t time.Time) error {
	c.reads.setDeadline(t)
	return nil
}

type address struct{}

func (address) Network() string { return "fake" }
func (address) String() string  { return "fake" }
