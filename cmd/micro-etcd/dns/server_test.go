package dns

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

const patience = 20 * time.Second

// serve serves a zone at a free port of this machine, and returns its address.
func serve(tb testing.TB, z *Zone, c *Config, allow ...string) string {
	tb.Helper()
	socket, err := Listen(tb.Context(), "127.0.0.1:0")
	require.NoError(tb, err)
	s := &Server{Config: c, Zone: z, Sockets: []*Socket{socket}}
	for _, text := range allow {
		s.Allow = append(s.Allow, netip.MustParsePrefix(text))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	tb.Cleanup(func() {
		cancel()
		require.NoError(tb, <-done)
	})
	return socket.Addr().String()
}

func exchange(tb testing.TB, network, address string, m *dns.Msg) *dns.Msg {
	tb.Helper()
	client := &dns.Client{Net: network, Timeout: patience}
	answer, _, err := client.Exchange(m, address)
	require.NoError(tb, err)
	return answer
}

func TestItAnswersOverUDPAndTCP(t *testing.T) {
	address := serve(t, zoneOf(bigFleet(1000)...), configOf(t, "micro.internal"), "127.0.0.0/8")
	q := question("big.service.micro.internal", dns.TypeSRV).Msg
	over := exchange(t, "udp", address, q)
	require.True(t, over.Truncated)
	require.NotEmpty(t, over.Answer)
	whole := exchange(t, "tcp", address, q)
	require.False(t, whole.Truncated)
	require.Len(t, whole.Answer, 1000)
	ns := exchange(t, "udp", address, question("ns.micro.internal", dns.TypeA).Msg)
	require.Equal(t, "A 127.0.0.1", told(ns))
}

func TestASocketForAllAddressesTellsTheOneThatIsAsked(t *testing.T) {
	require.Equal(t, "127.0.0.1", localAddr(&net.UDPAddr{IP: net.IPv6unspecified, Port: 53}, netip.MustParseAddrPort("127.0.0.1:99")).String())
	require.Equal(t, "10.1.2.3", localAddr(&net.UDPAddr{IP: net.IPv4(10, 1, 2, 3)}, netip.MustParseAddrPort("127.0.0.1:99")).String())
}

func TestGosResolverFindsServices(t *testing.T) {
	address := serve(t, zoneOf(fleetForNames()...), configOf(t, "micro.internal"), "127.0.0.0/8")
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}
	found, err := resolver.LookupHost(t.Context(), "greeter.service.micro.internal.")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1"}, found)
	_, targets, err := resolver.LookupSRV(t.Context(), "go.micro.srv.hello", "tcp", "service.micro.internal.")
	require.NoError(t, err)
	require.Equal(t, []*net.SRV{{Target: "0a000101.addr.micro.internal.", Port: 1, Priority: 1, Weight: 1}}, targets)
	_, err = resolver.LookupHost(t.Context(), "unknown.service.micro.internal.")
	var notFound *net.DNSError
	require.ErrorAs(t, err, &notFound)
	require.True(t, notFound.IsNotFound)
}

func TestOthersAreRefused(t *testing.T) {
	address := serve(t, zoneOf(fleetForNames()...), configOf(t, "micro.internal"), "10.0.0.0/8", "::1/128")
	for _, network := range []string{"udp", "tcp"} {
		q := question("greeter.service.micro.internal", dns.TypeA).Msg
		q.SetEdns0(1232, false)
		m := exchange(t, network, address, q)
		require.Equal(t, "REFUSED", told(m))
		require.Equal(t, dns.ExtendedErrorCodeProhibited, why(m))
	}
	// after that, a connection is closed
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	client := &dns.Conn{Conn: conn}
	require.NoError(t, client.WriteMsg(question("greeter.service.micro.internal", dns.TypeA).Msg))
	_, err = client.ReadMsg()
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	_, err = client.ReadMsg()
	require.ErrorIs(t, err, io.EOF)
}

// pipes is a listener to which connections come when a test sends them.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) { return <-p, nil }
func (p pipes) Close() error              { return nil }
func (p pipes) Addr() net.Addr            { return &net.TCPAddr{} }

func TestConnectionsAreBounded(t *testing.T) {
	l := &limitedListener{
		Listener: make(pipes), isAllowed: func(netip.Addr) bool { return false },
		allowed: make(chan struct{}, 1), others: make(chan struct{}, 1), clients: make(map[netip.Addr]int),
	}
	accepted := make(chan net.Conn)
	connect := func() net.Conn {
		ours, theirs := net.Pipe()
		l.Listener.(pipes) <- theirs
		return ours
	}
	go func() {
		for range 2 {
			conn, _ := l.Accept()
			accepted <- conn
		}
	}()
	connect()
	first := <-accepted
	_, err := connect().Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "it is too many")
	require.NoError(t, first.Close())
	require.NoError(t, first.Close(), "as the library does, too")
	connect()
	require.NoError(t, (<-accepted).Close())
	require.Empty(t, l.others)
}

func TestAClientHasItsShareOfConnections(t *testing.T) {
	l := &limitedListener{clients: make(map[netip.Addr]int)}
	places := make(chan struct{}, 2*maxEach)
	one, other := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	for range maxEach {
		require.True(t, l.enter(one, places))
	}
	require.False(t, l.enter(one, places))
	require.True(t, l.enter(other, places))
	l.leave(one, places)
	require.True(t, l.enter(one, places))
}

func TestAConnectionThatIsNotUsedIsClosed(t *testing.T) {
	address := serve(t, zoneOf(fleetForNames()...), configOf(t, "micro.internal"), "127.0.0.0/8")
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte{0}) // half of a length
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

// TestAClientThatDoesNotReadIsLeft: it may ask for as much as it wants, but holds up nobody, the end least.
func TestAClientThatDoesNotReadIsLeft(t *testing.T) {
	address := serve(t, zoneOf(bigFleet(2000)...), configOf(t, "micro.internal"), "127.0.0.0/8")
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	data := pack(t, question("big.service.micro.internal", dns.TypeSRV).Msg)
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(data))), data...)
	require.NoError(t, conn.SetWriteDeadline(time.Now().Add(patience)))
	for range 100_000 {
		if _, err = conn.Write(framed); err != nil {
			break
		}
	}
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "it wasn't closed")
}

// TestJunkIsSurvived sends what no client sends, and looks whether an honest one is still answered.
func TestJunkIsSurvived(t *testing.T) {
	address := serve(t, zoneOf(fleetForNames()...), configOf(t, "micro.internal"), "127.0.0.0/8")
	conn, err := net.Dial("udp", address)
	require.NoError(t, err)
	defer conn.Close()
	response := pack(t, &dns.Msg{MsgHdr: dns.MsgHdr{Response: true}})
	for range 2 * maxQueries {
		for _, junk := range [][]byte{
			{1}, make([]byte, 12), make([]byte, 2000), response, append(response[:11:11], 9, 9, 9),
		} {
			_, _ = conn.Write(junk) // the kernel may have no room
		}
	}
	require.Eventually(t, func() bool {
		m, err := dns.Exchange(question("greeter.service.micro.internal", dns.TypeA).Msg, address)
		return err == nil && len(m.Answer) == 3
	}, patience, time.Millisecond)
}

func TestManyAskAtOnce(t *testing.T) {
	address := serve(t, zoneOf(fleetForNames()...), configOf(t, "micro.internal"), "127.0.0.0/8")
	var asking sync.WaitGroup
	failed := make(chan error, 100)
	for i := range 50 {
		network := []string{"udp", "tcp"}[i%2]
		asking.Go(func() {
			client := &dns.Client{Net: network, Timeout: patience}
			conn, err := client.Dial(address)
			if err != nil {
				failed <- err
				return
			}
			defer conn.Close()
			for range 200 {
				m, _, err := client.ExchangeWithConn(question("greeter.service.micro.internal", dns.TypeA).Msg, conn)
				if err != nil || len(m.Answer) != 3 {
					failed <- fmt.Errorf("%v: %w", m, err)
					return
				}
			}
		})
	}
	asking.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
}

func TestAnAddressThatIsTakenIsAnError(t *testing.T) {
	address := serve(t, zoneOf(), configOf(t, "micro.internal"), "127.0.0.0/8")
	_, err := Listen(t.Context(), address)
	require.ErrorContains(t, err, "address already in use")
	_, err = Listen(t.Context(), "nonsense")
	require.Error(t, err)
}
