package interop

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
)

// lifetime is the TTL of records whose expiry a test waits for.
const lifetime = 3 * time.Second

// pairs runs a test for each of the others as the provider and us as the consumer, and the other way round.
func pairs(t *testing.T, kinds []string, test func(t *testing.T, provider, consumer string)) {
	t.Helper()
	for _, other := range kinds {
		for _, pair := range [][2]string{{other, ours}, {ours, other}} {
			t.Run(pair[0]+" for "+pair[1], func(t *testing.T) {
				t.Parallel()
				test(t, pair[0], pair[1])
			})
		}
	}
}

// sees waits until a lookup finds exactly these nodes.
func (p *peer) sees(tb testing.TB, name string, ids ...string) {
	tb.Helper()
	var last []string
	eventually(tb, func() bool {
		last = p.nodes(tb, name)
		return slices.Equal(last, ids)
	}, "%s sees %v of %s", p.kind, ids, name)
}

// hears waits until the watchers have returned exactly this.
func (p *peer) hears(tb testing.TB, changes ...string) {
	tb.Helper()
	var last []string
	eventually(tb, func() bool {
		last = p.told(tb)
		return slices.Equal(last, changes)
	}, "%s hears %v", p.kind, changes)
}

func TestLookupsAndWatchesCross(t *testing.T) {
	pairs(t, others, func(t *testing.T, provider, consumer string) {
		s := startServer(t, usual)
		p, c := startPeer(t, provider, s.address()), startPeer(t, consumer, s.address())
		c.sees(t, "greeter")
		c.watch(t, "greeter")

		a, b := service("greeter", "1", "a"), service("greeter", "1", "b")
		p.register(t, a, time.Minute)
		c.sees(t, "greeter", "a@1")
		p.register(t, b, time.Minute)
		c.sees(t, "greeter", "a@1", "b@1")
		p.register(t, a, time.Minute) // a heartbeat
		a.Nodes[0].Address = "10.0.0.9:9"
		p.register(t, a, time.Minute)
		p.deregister(t, b)
		c.sees(t, "greeter", "a@1")
		p.deregister(t, a)
		c.sees(t, "greeter")
		c.hears(t, "create a@1", "create b@1", "update a@1", "delete b@1", "delete a@1")
	})
}

// What comes out is what went in, in every field.
func TestServicesCrossUnchanged(t *testing.T) {
	pairs(t, others, func(t *testing.T, provider, consumer string) {
		s := startServer(t, usual)
		p, c := startPeer(t, provider, s.address()), startPeer(t, consumer, s.address())
		want := service("shop/cart", "1", "a", "b")
		p.register(t, want, time.Minute)
		var got []*registry.Service
		c.must(t, lookUp("shop/cart"), &got)
		require.Equal(t, []*registry.Service{want}, got)
		got = nil
		c.must(t, listAll(), &got)
		require.Equal(t, []*registry.Service{want}, got)
	})
}

func TestAKilledProviderExpires(t *testing.T) {
	pairs(t, others, func(t *testing.T, provider, consumer string) {
		s := startServer(t, usual)
		p, c := startPeer(t, provider, s.address()), startPeer(t, consumer, s.address())
		c.watch(t, "greeter")
		p.register(t, service("greeter", "1", "a"), lifetime)
		c.sees(t, "greeter", "a@1")
		p.kill()
		c.sees(t, "greeter")
		c.hears(t, "create a@1", "delete a@1")
	})
}

// A provider is killed, and another one that runs the new version under the same id takes its place while the old
// record is still there.
func TestARestartWithAFixedIDUnderAnotherRegistry(t *testing.T) {
	pairs(t, others, func(t *testing.T, before, after string) {
		s := startServer(t, usual)
		old, c := startPeer(t, before, s.address()), startPeer(t, ours, s.address())
		old.register(t, service("greeter", "1", "a"), lifetime)
		c.sees(t, "greeter", "a@1")
		old.kill()

		restarted := startPeer(t, after, s.address())
		next := service("greeter", "2", "a")
		if after != ours {
			// Every other one compares the node only, and takes a new version of the same node for the old one.
			restarted.register(t, next, lifetime)
			require.Equal(t, []string{"a@1"}, c.nodes(t, "greeter"), "%s has mended its fault: it writes a new version", after)
		}
		next.Nodes[0].Address = "10.0.0.2:8080"
		restarted.register(t, next, lifetime)
		c.sees(t, "greeter", "a@2")
		staysFor(t, 2*lifetime, c, after, restarted, next)
	})
}

// staysFor checks that a record outlives the lease of the one before it, while its provider goes on registering as a
// go-micro server does. The one of v5 doesn't.
func staysFor(t *testing.T, d time.Duration, c *peer, kind string, p *peer, s *registry.Service) {
	t.Helper()
	beat := time.NewTicker(lifetime / 3)
	defer beat.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-beat.C {
		p.register(t, s, lifetime)
		if kind == "v5" && len(c.nodes(t, s.Name)) == 0 {
			return
		}
		require.Equal(t, []string{"a@2"}, c.nodes(t, s.Name))
	}
	require.NotEqual(t, "v5", kind, "v5 has mended its fault: it renews the lease of a node that changed")
}

// The other ones delete whoever has the key. Ours comes back; ours doesn't do that to others.
func TestALateDeregisterOfTheProcessBefore(t *testing.T) {
	pairs(t, others, func(t *testing.T, before, after string) {
		s := startServer(t, usual)
		old, c := startPeer(t, before, s.address()), startPeer(t, ours, s.address())
		first, second := service("greeter", "1", "a"), service("greeter", "2", "a")
		second.Nodes[0].Address = "10.0.0.2:8080"
		old.register(t, first, time.Minute)
		next := startPeer(t, after, s.address())
		next.register(t, second, time.Minute)
		c.sees(t, "greeter", "a@2")
		c.watch(t, "greeter")
		old.deregister(t, first)
		if after == ours {
			c.hears(t, "delete a@2", "create a@2")
		}
		require.Equal(t, []string{"a@2"}, c.nodes(t, "greeter"))
	})
}

// The other ones take a lease that they find for their own, and write nothing for a node that they find unchanged. So
// what is in etcd remains ours, and goes when we do; their next tick notices, v5's only after the next renewal.
func TestARecordThatAnotherRegistryAdoptedGoesWithOurs(t *testing.T) {
	for _, kind := range others {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, usual)
			old, next := startPeer(t, ours, s.address()), startPeer(t, kind, s.address())
			record := service("greeter", "1", "a")
			old.register(t, record, 15*time.Second)
			lease := leaseOf(t, s)
			next.register(t, record, 15*time.Second)
			require.Equal(t, lease, leaseOf(t, s), "%s has mended its fault: it writes a record of its own", kind)

			old.deregister(t, record)
			require.Empty(t, old.nodes(t, "greeter"))
			eventually(t, func() bool {
				next.register(t, record, 15*time.Second)
				return len(old.nodes(t, "greeter")) == 1
			}, "its tick brings the record back")
		})
	}
}
