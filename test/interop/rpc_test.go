package interop

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCallsByNameCross(t *testing.T) {
	pairs(t, othersV4, func(t *testing.T, provider, consumer string) {
		s := startServer(t, usual)
		c := startPeer(t, consumer, s.address())
		first, second := startPeer(t, provider, s.address()), startPeer(t, provider, s.address())
		first.serve(t, "greeter", "1", "1", lifetime)
		second.serve(t, "greeter", "2", "1", lifetime)
		c.follows(t, s, ownWatches(provider, 2), "1", "2")
		first.stopServing(t)
		c.answeredBy(t, "2")
		second.kill()
		first.serve(t, "greeter", "3", "2", lifetime)
		c.answeredBy(t, "3")
	})
}

// answeredBy waits until calls are answered by exactly these servers, for as many calls as make it unlikely that
// another one is left out by chance.
func (p *peer) answeredBy(tb testing.TB, ids ...string) {
	tb.Helper()
	eventually(tb, func() bool {
		var by []string
		for range 20 {
			id, err := p.call("greeter")
			if err != nil {
				return false
			}
			by = append(by, id)
		}
		slices.Sort(by)
		return slices.Equal(slices.Compact(by), ids)
	}, "%s's calls are answered by %v", p.kind, ids)
}

// follows waits until calls are answered by exactly these servers, and the client hears of changes: it is one watch
// more than there are before. What happens between go-micro's first lookup and its watch, the other registries never
// tell.
func (p *peer) follows(tb testing.TB, s *server, before int, ids ...string) {
	tb.Helper()
	eventually(tb, func() bool { return s.watches(tb) == before }, "%d watches before", before)
	p.answeredBy(tb, ids...)
	eventually(tb, func() bool { return s.watches(tb) > before }, "%s watches", p.kind)
}

// ownWatches is how many watches providers have on their own keys.
func ownWatches(kind string, providers int) int {
	if kind == ours {
		return providers
	}
	return 0
}

// A fleet moves from one registry to the other, one process after the other, while clients of both look up and call all
// the time.
func TestRollingReplacement(t *testing.T) {
	pairs(t, othersV4, func(t *testing.T, from, to string) {
		s := startServer(t, usual)
		fleet := []*peer{startPeer(t, from, s.address()), startPeer(t, from, s.address())}
		for i, p := range fleet {
			p.serve(t, "greeter", string(rune('a'+i)), "1", lifetime)
		}
		var clients []*traffic
		for i, kind := range []string{from, to} {
			clients = append(clients, startTraffic(t, s, ownWatches(from, 2)+i, startPeer(t, kind, s.address())))
		}
		for i, old := range fleet {
			next := startPeer(t, to, s.address())
			next.serve(t, "greeter", string(rune('c'+i)), "2", lifetime)
			for _, c := range clients {
				c.await(t, string(rune('c'+i)))
			}
			old.stopServing(t)
		}
		for _, c := range clients {
			c.peer.answeredBy(t, "c", "d")
			c.end(t)
		}
	})
}

// v5 has no part in the calls of v4, but in its records.
func TestRollingReplacementOfRecords(t *testing.T) {
	pairs(t, []string{"v5"}, func(t *testing.T, from, to string) {
		s := startServer(t, usual)
		fleet := []*peer{startPeer(t, from, s.address()), startPeer(t, from, s.address())}
		for i, p := range fleet {
			p.register(t, service("greeter", "1", string(rune('a'+i))), lifetime)
		}
		clients := []*peer{startPeer(t, from, s.address()), startPeer(t, to, s.address())}
		for i, old := range fleet {
			id := string(rune('c' + i))
			startPeer(t, to, s.address()).register(t, service("greeter", "2", id), lifetime)
			for _, c := range clients {
				eventually(t, func() bool {
					ids := c.nodes(t, "greeter")
					require.GreaterOrEqual(t, len(ids), 2, "%s as the client", c.kind)
					return slices.Contains(ids, id+"@2")
				}, "%s sees %s", c.kind, id)
			}
			old.deregister(t, service("greeter", "1", string(rune('a'+i))))
		}
		for _, c := range clients {
			c.sees(t, "greeter", "c@2", "d@2")
		}
	})
}

// traffic looks up and calls without a pause until it is ended.
type traffic struct {
	peer    *peer
	stop    chan struct{}
	done    chan struct{}
	served  chan string
	empty   int // lookups that found no node
	lookUps int
	failed  []error // lookups, and calls after which the same call failed again
}

func startTraffic(tb testing.TB, s *server, watches int, p *peer) *traffic {
	tb.Helper()
	p.follows(tb, s, watches, "a", "b")
	c := &traffic{peer: p, stop: make(chan struct{}), done: make(chan struct{}), served: make(chan string, 1)}
	go c.run()
	return c
}

func (c *traffic) run() {
	defer close(c.done)
	for {
		select {
		case <-c.stop:
			return
		default:
		}
		ids, err := c.peer.lookUp("greeter")
		c.lookUps++
		if err != nil {
			c.failed = append(c.failed, err)
		} else if len(ids) == 0 {
			c.empty++
		}
		by, err := c.peer.call("greeter")
		for tries := 0; err != nil && tries < 3; tries++ { // it may have been on its way to one that left
			by, err = c.peer.call("greeter")
		}
		if err != nil {
			c.failed = append(c.failed, err)
		}
		select {
		case c.served <- by:
		default:
		}
	}
}

// await waits until a server has answered a call.
func (c *traffic) await(tb testing.TB, id string) {
	tb.Helper()
	for deadline := time.After(patience); ; {
		select {
		case by := <-c.served:
			if by == id {
				return
			}
		case <-deadline:
			require.FailNow(tb, "no call of "+c.peer.kind+"'s was answered by "+id)
		}
	}
}

func (c *traffic) end(tb testing.TB) {
	tb.Helper()
	close(c.stop)
	<-c.done
	require.Empty(tb, c.failed, "%s as the client", c.peer.kind)
	require.Zero(tb, c.empty, "of %d lookups by %s", c.lookUps, c.peer.kind)
	require.Positive(tb, c.lookUps)
}
