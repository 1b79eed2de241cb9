package chaos

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo is a server that sends back every line, behind a relay.
func echo(t *testing.T, l *link, route func([]byte) *link) *relay {
	t.Helper()
	server, err := net.Listen("tcp", loopback(0))
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	r, err := startRelay(loopback(0), server.Addr().String(), l, route)
	require.NoError(t, err)
	t.Cleanup(r.end)
	return r
}

// caller is a connection through a relay.
type caller struct {
	net.Conn
	t     *testing.T
	lines *bufio.Reader
}

func call(t *testing.T, r *relay) *caller {
	t.Helper()
	c, err := net.Dial("tcp", r.address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &caller{Conn: c, t: t, lines: bufio.NewReader(c)}
}

func (c *caller) say(line string) {
	c.t.Helper()
	_, err := c.Write([]byte(line + "\n"))
	require.NoError(c.t, err)
}

func (c *caller) hears(line string) {
	c.t.Helper()
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	got, err := c.lines.ReadString('\n')
	require.NoError(c.t, err)
	require.Equal(c.t, line+"\n", got)
}

// hearsNothing asserts that the connection lives and is silent.
func (c *caller) hearsNothing() {
	c.t.Helper()
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	_, err := c.lines.ReadString('\n')
	var late net.Error
	require.ErrorAs(c.t, err, &late)
	require.True(c.t, late.Timeout())
}

func TestAHeldLinkIsSilentAndThenDeliversEverything(t *testing.T) {
	for _, ways := range [][]direction{{toServer}, {toClient}, {toServer, toClient}} {
		l := newLink()
		c := call(t, echo(t, l, nil))
		c.say("before")
		c.hears("before")
		l.hold(ways...)
		c.say("held")
		c.hearsNothing()
		l.heal()
		c.hears("held")
	}
}

func TestANewConnectionOverAHeldLinkIsAcceptedAndSilent(t *testing.T) {
	l := newLink()
	r := echo(t, l, nil)
	l.hold(toServer, toClient)
	c := call(t, r)
	c.say("held")
	c.hearsNothing()
	l.heal()
	c.hears("held")
}

func TestAHeldLinkKeepsTheEndOfAConnectionBack(t *testing.T) {
	l := newLink()
	r := echo(t, l, nil)
	c := call(t, r)
	c.say("before")
	c.hears("before")
	l.hold(toServer)
	require.NoError(t, c.Conn.(*net.TCPConn).CloseWrite())
	c.hearsNothing()
	l.heal()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err := c.lines.ReadString('\n')
	require.ErrorIs(t, err, io.EOF)
}

func TestASlowLinkDelays(t *testing.T) {
	l := newLink()
	c := call(t, echo(t, l, nil))
	l.slow(toClient, 300*time.Millisecond)
	began := time.Now()
	c.say("slow")
	c.hears("slow")
	require.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond)
}

func TestResetBreaksHeldConnectionsToo(t *testing.T) {
	for _, held := range []bool{false, true} {
		l := newLink()
		r := echo(t, l, nil)
		c := call(t, r)
		c.say("before")
		c.hears("before")
		if held {
			l.hold(toServer, toClient)
			c.say("held")
		}
		r.reset()
		require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, err := c.lines.ReadString('\n')
		require.Error(t, err)
		l.heal()
		again := call(t, r)
		again.say("again")
		again.hears("again")
	}
}

func TestRefuseAndAccept(t *testing.T) {
	r := echo(t, newLink(), nil)
	r.refuse()
	_, err := net.Dial("tcp", r.address)
	require.Error(t, err)
	require.NoError(t, r.accept())
	c := call(t, r)
	c.say("again")
	c.hears("again")
}

func TestARouteTakesConnectionsByWhatTheySay(t *testing.T) {
	routed := newLink()
	c := echo(t, newLink(), func(sent []byte) *link {
		if sender(sent) == "abc" {
			return routed
		}
		return nil
	})
	other, one := call(t, c), call(t, c)
	one.say("X-Server-From: abc\r")
	one.hears("X-Server-From: abc\r")
	routed.hold(toServer)
	one.say("held")
	one.hearsNothing()
	other.say("free")
	other.hears("free")
	routed.heal()
	one.hears("held")
}
