package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Server answers queries at some addresses. It has no more than so many connections and queries at a time, and keeps
// no connection for longer than it is used.
type Server struct {
	Config *Config
	Zone   *Zone
	// Allow is who is answered; others are refused.
	Allow []netip.Prefix
	// Sockets are where it is asked. Serve closes them.
	Sockets []*Socket
	// Answered, if not nil, is told of each query with its answer. It may be called concurrently.
	Answered func(q Query, answer *dns.Msg)
}

const (
	maxQueries = 1000 // by UDP at a time, at each socket
	maxAllowed = 1000 // connections of those who are answered, at each socket
	maxOthers  = 100  // connections of others
	maxEach    = 200  // connections of one client

	firstTime = 2 * time.Second  // for the first query on a connection
	idleTime  = 10 * time.Second // between queries
	writeTime = 2 * time.Second
	stopTime  = 3 * time.Second

	acceptPause = 10 * time.Millisecond
)

// Socket is an address, for UDP and TCP.
type Socket struct {
	udp net.PacketConn
	tcp net.Listener
}

// Listen opens an address. Port 0 takes one that is free for both.
func Listen(ctx context.Context, address string) (*Socket, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	var config net.ListenConfig
	for try := 1; ; try++ {
		tcp, err := config.Listen(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		at := net.JoinHostPort(host, fmt.Sprint(tcp.Addr().(*net.TCPAddr).Port))
		udp, err := config.ListenPacket(ctx, "udp", at)
		if err == nil {
			return &Socket{udp, tcp}, nil
		}
		_ = tcp.Close()
		if port != "0" || try == 10 {
			return nil, err
		}
	}
}

// Addr returns the address.
func (s *Socket) Addr() netip.AddrPort { return s.tcp.Addr().(*net.TCPAddr).AddrPort() }

// Close is for a socket that isn't served.
func (s *Socket) Close() error { return errors.Join(s.udp.Close(), s.tcp.Close()) }

// building bounds how many answers are made for connections at a time, all sockets together: one may have 64 KiB, and a
// client may ask for the next before it has read it. Half of the processors are left for UDP.
var building = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// Serve answers until ctx ends, and returns nil then, or until a socket fails.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for _, socket := range s.Sockets {
		for _, server := range []*dns.Server{s.overUDP(socket.udp), s.overTCP(socket.tcp)} {
			started := make(chan struct{})
			server.NotifyStartedFunc = sync.OnceFunc(func() { close(started) })
			running.Go(func() {
				defer server.NotifyStartedFunc()
				if err := server.ActivateAndServe(); err != nil {
					cancel(fmt.Errorf("answer at %s: %w", socket.Addr(), err))
				}
			})
			running.Go(func() {
				<-started
				<-ctx.Done()
				stopping, over := context.WithTimeout(context.Background(), stopTime)
				defer over()
				_ = server.ShutdownContext(stopping) // what still writes ends by itself
			})
		}
	}
	running.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// overUDP returns a server that reads no further while too many queries are under way: the kernel drops what is too
// much then.
func (s *Server) overUDP(conn net.PacketConn) *dns.Server {
	underWay := make(chan struct{}, maxQueries)
	done := func() { <-underWay }
	return &dns.Server{
		PacketConn:     conn,
		UDPSize:        maxUDP,
		DecorateReader: func(r dns.Reader) dns.Reader { return limitedReader{r, underWay} },
		// Each message that was read comes to exactly one of these that calls done, as MsgInvalidFunc promises.
		MsgAcceptFunc: func(h dns.Header) dns.MsgAcceptAction {
			action := accept(h)
			if action != dns.MsgAccept {
				done()
			}
			return action
		},
		MsgInvalidFunc: func([]byte, error) { done() },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
			defer done()
			s.answer(w, m)
		}),
	}
}

type limitedReader struct {
	dns.Reader
	underWay chan<- struct{}
}

func (r limitedReader) ReadUDP(conn *net.UDPConn, timeout time.Duration) ([]byte, *dns.SessionUDP, error) {
	m, session, err := r.Reader.ReadUDP(conn, timeout)
	if err == nil {
		r.underWay <- struct{}{}
	}
	return m, session, err
}

func (s *Server) overTCP(l net.Listener) *dns.Server {
	return &dns.Server{
		Listener: &limitedListener{
			Listener: l, isAllowed: s.isAllowed,
			allowed: make(chan struct{}, maxAllowed), others: make(chan struct{}, maxOthers),
			clients: make(map[netip.Addr]int),
		},
		ReadTimeout:   firstTime,
		IdleTimeout:   func() time.Duration { return idleTime },
		MaxTCPQueries: -1,
		MsgAcceptFunc: accept,
		Handler:       dns.HandlerFunc(s.answer),
	}
}

func (s *Server) isAllowed(client netip.Addr) bool {
	client = client.Unmap().WithZone("")
	return slices.ContainsFunc(s.Allow, func(p netip.Prefix) bool { return p.Contains(client) })
}

func (s *Server) answer(w dns.ResponseWriter, m *dns.Msg) {
	client := addrPort(w.RemoteAddr())
	_, isTCP := w.RemoteAddr().(*net.TCPAddr)
	q := Query{
		Msg: m, From: client, At: time.Now(), TCP: isTCP,
		To: func() netip.Addr { return localAddr(w.LocalAddr(), client) },
	}
	allowed := s.isAllowed(client.Addr())
	reply, data, err := s.build(q, allowed)
	if err == nil {
		_, err = w.Write(data)
	}
	if err != nil || !allowed {
		_ = w.Close() // a connection; what can't be written may be cut short
	}
	if s.Answered != nil {
		s.Answered(q, reply)
	}
}

func (s *Server) build(q Query, allowed bool) (*dns.Msg, []byte, error) {
	if q.TCP {
		building <- struct{}{}
		defer func() { <-building }()
	}
	var reply *dns.Msg
	if allowed {
		reply = s.Config.Answer(s.Zone, q)
	} else {
		reply = Refuse(q)
	}
	data, err := reply.Pack()
	return reply, data, err
}

func addrPort(addr net.Addr) netip.AddrPort {
	at, ok := addr.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(at.AddrPort().Addr().Unmap(), at.AddrPort().Port())
}

// localAddr is where a client has reached a socket. A socket for all addresses doesn't say at which one of them; it is
// most likely the one from which the client would be reached.
func localAddr(socket net.Addr, client netip.AddrPort) netip.Addr {
	addr := addrPort(socket).Addr()
	if addr.IsValid() && !addr.IsUnspecified() {
		return addr
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(client)) // which sends nothing
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return addrPort(conn.LocalAddr()).Addr()
}

// limitedListener closes connections that are too many, in all or of one client. Those who aren't answered anyway have
// places of their own.
type limitedListener struct {
	net.Listener
	isAllowed       func(netip.Addr) bool
	allowed, others chan struct{}

	mu      sync.Mutex
	clients map[netip.Addr]int // how many connections each has
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			time.Sleep(acceptPause) // the library tries again at once, which doesn't bring back descriptors that ran out
			return nil, err
		}
		client := addrPort(conn.RemoteAddr()).Addr()
		places := l.others
		if l.isAllowed(client) {
			places = l.allowed
		}
		if l.enter(client, places) {
			return &limitedConn{Conn: conn, leave: sync.OnceFunc(func() { l.leave(client, places) })}, nil
		}
		_ = conn.Close()
	}
}

func (l *limitedListener) enter(client netip.Addr, places chan<- struct{}) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clients[client] == maxEach {
		return false
	}
	select {
	case places <- struct{}{}:
		l.clients[client]++
		return true
	default:
		return false
	}
}

func (l *limitedListener) leave(client netip.Addr, places <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	<-places // it has one
	if l.clients[client]--; l.clients[client] == 0 {
		delete(l.clients, client)
	}
}

type limitedConn struct {
	net.Conn
	leave func()
}

// Write doesn't wait for a client that doesn't read.
func (c *limitedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *limitedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
