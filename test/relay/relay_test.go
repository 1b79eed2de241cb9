package relay

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/test/leak"
)

func TestMain(m *testing.M) { leak.Verify(m) }

// echo is a server that sends back every line, behind a relay.
func echo(t *testing.T, l *Link, route func([]byte) *Link) *Relay {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
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
	r, err := Start("127.0.0.1:0", server.Addr().String(), l, route)
	require.NoError(t, err)
	t.Cleanup(r.End)
	return r
}

// caller is a connection through a relay.
type caller struct {
	net.Conn
	t     *testing.T
	lines *bufio.Reader
}

func call(t *testing.T, r *Relay) *caller {
	t.Helper()
	c, err := net.Dial("tcp", r.Address())
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
	for _, ways := range [][]Direction{{ToServer}, {ToClient}, {ToServer, ToClient}} {
		l := NewLink()
		c := call(t, echo(t, l, nil))
		c.say("before")
		c.hears("before")
		l.Hold(ways...)
		c.say("held")
		c.hearsNothing()
		l.Heal()
		c.hears("held")
	}
}

func TestANewConnectionOverAHeldLinkIsAcceptedAndSilent(t *testing.T) {
	l := NewLink()
	r := echo(t, l, nil)
	l.Hold(ToServer, ToClient)
	c := call(t, r)
	c.say("held")
	c.hearsNothing()
	l.Heal()
	c.hears("held")
}

func TestAHeldLinkKeepsTheEndOfAConnectionBack(t *testing.T) {
	l := NewLink()
	r := echo(t, l, nil)
	c := call(t, r)
	c.say("before")
	c.hears("before")
	l.Hold(ToServer)
	require.NoError(t, c.Conn.(*net.TCPConn).CloseWrite())
	c.hearsNothing()
	l.Heal()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err := c.lines.ReadString('\n')
	require.ErrorIs(t, err, io.EOF)
}

func TestASlowLinkDelays(t *testing.T) {
	l := NewLink()
	c := call(t, echo(t, l, nil))
	l.Slow(ToClient, 300*time.Millisecond)
	began := time.Now()
	c.say("slow")
	c.hears("slow")
	require.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond)
}

func TestANewConnectionOverASlowLinkTakesARoundTripMore(t *testing.T) {
	l := NewLink()
	r := echo(t, l, nil)
	l.Slow(ToServer, 100*time.Millisecond)
	l.Slow(ToClient, 100*time.Millisecond)
	began := time.Now()
	c := call(t, r)
	c.say("slow")
	c.hears("slow")
	require.GreaterOrEqual(t, time.Since(began), 400*time.Millisecond)
}

func TestResetBreaksHeldConnectionsToo(t *testing.T) {
	for _, held := range []bool{false, true} {
		l := NewLink()
		r := echo(t, l, nil)
		c := call(t, r)
		c.say("before")
		c.hears("before")
		if held {
			l.Hold(ToServer, ToClient)
			c.say("held")
		}
		r.Reset()
		require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, err := c.lines.ReadString('\n')
		require.Error(t, err)
		l.Heal()
		again := call(t, r)
		again.say("again")
		again.hears("again")
	}
}

func TestRefuseAndAccept(t *testing.T) {
	r := echo(t, NewLink(), nil)
	r.Refuse()
	_, err := net.Dial("tcp", r.Address())
	require.Error(t, err)
	require.NoError(t, r.Accept())
	c := call(t, r)
	c.say("again")
	c.hears("again")
}

func TestAcceptWhileProcessesStart(t *testing.T) {
	var starting sync.WaitGroup
	defer starting.Wait()
	over := make(chan struct{})
	defer close(over)
	starting.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
				_ = exec.CommandContext(t.Context(), os.Args[0], "-test.list=^$").Run()
			}
		}
	})
	r := echo(t, NewLink(), nil)
	for range 1000 {
		r.Refuse()
		require.NoError(t, r.Accept())
	}
}

func TestARouteTakesConnectionsByWhatTheySay(t *testing.T) {
	routed := NewLink()
	c := echo(t, NewLink(), func(sent []byte) *Link {
		if string(sent) == "I am one\n" {
			return routed
		}
		return nil
	})
	other, one := call(t, c), call(t, c)
	one.say("I am one")
	one.hears("I am one")
	routed.Hold(ToServer)
	one.say("held")
	one.hearsNothing()
	other.say("free")
	other.hears("free")
	routed.Heal()
	one.hears("held")
}
