package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/auth"
)

// What doesn't depend on the machine is asserted here: allocations, and what etcd counts. A figure that gets better is
// to be written down here as well.

// Allocations that a call needs: the services, nodes and maps that belong to its caller.
const (
	lookupAllocs10   = 50
	lookupAllocs1000 = 2030
	registerAllocs   = 3
)

func guarded(t *testing.T) *store {
	t.Helper()
	s, err := openStore(unflushed)
	require.NoError(t, err)
	t.Cleanup(s.close)
	return s
}

func (s *store) open(t *testing.T, opts ...registry.Option) *etcd.Registry {
	t.Helper()
	r, err := openOurs(s.endpoint, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	return r
}

// asked returns what etcd is asked by what f does.
func (s *store) asked(t *testing.T, f func()) counts {
	t.Helper()
	before, err := s.counts(t.Context())
	require.NoError(t, err)
	f()
	after, err := s.counts(t.Context())
	require.NoError(t, err)
	return after.since(before)
}

// quiet fails if etcd was asked for anything but a probe, which may come at any time.
func quiet(t *testing.T, asked counts) {
	t.Helper()
	assert.LessOrEqual(t, asked["Range"]+asked["Txn"], 3, "a key, a count, and a second look")
	for what, n := range asked {
		if what != "Range" && what != "Txn" {
			assert.Zero(t, n, what)
		}
	}
}

func TestGuardLookup(t *testing.T) {
	s := guarded(t)
	for i, c := range []struct{ nodes, lists, allocs int }{{10, 1, lookupAllocs10}, {1000, 2, lookupAllocs1000}} {
		name := fmt.Sprintf("guard-%d", c.nodes)
		require.NoError(t, s.seed(t.Context(), name, c.nodes))
		r := s.open(t)
		look := func() {
			if _, err := r.GetService(name); err != nil {
				t.Error(err)
			}
		}
		first := s.asked(t, func() { require.NoError(t, find(ours, r, name, c.nodes)(0)) })
		s.reached(t, counts{watchers: i + 1})
		assert.Equal(t, c.lists, first["Range"], "the first lookup is one list, of two pages if it is big")
		quiet(t, s.asked(t, func() {
			assert.InDelta(t, c.allocs, testing.AllocsPerRun(1000, look), 0, "allocations of a lookup of %d nodes",
				c.nodes)
		}))
	}
}

func TestGuardSelect(t *testing.T) {
	s := guarded(t)
	r := s.open(t)
	choose := etcd.NewSelector(selector.Registry(r))
	t.Cleanup(func() { assert.NoError(t, choose.Close()) })
	for i, nodes := range []int{1, 1000} {
		name := fmt.Sprintf("guard-%d", nodes)
		require.NoError(t, s.seed(t.Context(), name, nodes))
		one := pick(choose, name)
		pickOne := func() {
			if err := one(0); err != nil {
				t.Error(err)
			}
		}
		pickOne()
		s.reached(t, counts{watchers: i + 1})
		quiet(t, s.asked(t, func() {
			assert.Zero(t, testing.AllocsPerRun(1000, pickOne), "allocations of picking one of %d nodes", nodes)
		}))
	}
}

func TestGuardRepeatedRegister(t *testing.T) {
	s := guarded(t)
	r := s.open(t)
	service := service("guard", 0)
	again := func() { require.NoError(t, r.Register(service, registry.RegisterTTL(ttl))) }
	again()
	s.reached(t, counts{watchers: 1})
	quiet(t, s.asked(t, func() {
		assert.InDelta(t, registerAllocs, testing.AllocsPerRun(1000, again), 0, "allocations of a repeated Register")
	}))
}

// With passwords each request that opens a stream authenticates, which sank a cluster (go-micro#2821).
func TestGuardNoAuthenticationOnceRegistered(t *testing.T) {
	s := guarded(t)
	auth.Enable(t, s.client, "secret")
	r := s.open(t, etcd.Auth("root", "secret"))
	service := service("guard", upTo(0, 10)...)
	again := func() { require.NoError(t, r.Register(service, registry.RegisterTTL(ttl))) }
	again()
	s.reached(t, counts{watchers: 10})
	asked := s.asked(t, func() {
		for range 100 {
			again()
		}
	})
	assert.Zero(t, asked["Authenticate"])
	quiet(t, asked)
}

func TestGuardFirstRegister(t *testing.T) {
	const nodes = 8
	s := guarded(t)
	r := s.open(t)
	asked := s.asked(t, func() {
		for i := range nodes {
			require.NoError(t, r.Register(service("guard", i), registry.RegisterTTL(ttl)))
		}
		s.reached(t, counts{watchers: nodes})
	})
	assert.Equal(t, nodes, asked["LeaseGrant"])
	assert.Equal(t, nodes, asked["Txn"])
	assert.Zero(t, asked["LeaseKeepAlive"], "a renewal is due a third of the TTL later")
	assert.Equal(t, 1, asked["Watch"], "streams")
	assert.Equal(t, nodes, asked["message Watch"])
	assert.LessOrEqual(t, asked["Range"], 3, "a probe may come")
}

func TestGuardWatchersShareOneWatch(t *testing.T) {
	s := guarded(t)
	r := s.open(t)
	open := watchRegistry(r)
	asked := s.asked(t, func() {
		for range 200 {
			s, err := open("guard")
			require.NoError(t, err)
			t.Cleanup(s.stop)
		}
		s.reached(t, counts{watchers: 1})
		require.NoError(t, r.Register(service("guard", 0), registry.RegisterTTL(ttl)))
		s.reached(t, counts{watchers: 2})
	})
	assert.Equal(t, 2, asked[watchers], "that of the watchers, and that of the registration after them")
	assert.Equal(t, 2, asked["message Watch"])
}

func TestGuardSteadyState(t *testing.T) {
	const (
		nodes = 10
		span  = 8 * time.Second
		short = 6 * time.Second // of which a third is a keepalive's interval
	)
	s := guarded(t)
	r := s.open(t)
	require.NoError(t, r.Register(service("guard", upTo(0, nodes)...), registry.RegisterTTL(short)))
	require.NoError(t, find(ours, r, "guard", nodes)(0))
	s.reached(t, counts{watchers: nodes + 1})
	asked := s.asked(t, func() { require.NoError(t, sleep(t.Context(), span)) })
	assert.LessOrEqual(t, asked["message LeaseKeepAlive"], nodes*(int(span/(short/3))+1))
	assert.Positive(t, asked["message LeaseKeepAlive"])
	assert.LessOrEqual(t, asked["LeaseKeepAlive"], nodes,
		"streams, of which those are for keeps that several renewals need at one time")
	delete(asked, "message LeaseKeepAlive")
	delete(asked, "LeaseKeepAlive")
	quiet(t, asked)
}

// reached waits until etcd has counted what follows a call sooner or later, such as the watch of one's own key.
func (s *store) reached(t *testing.T, least counts) {
	t.Helper()
	require.Eventually(t, func() bool {
		now, err := s.counts(t.Context())
		if err != nil {
			return false
		}
		for what, n := range least {
			if now[what] < n {
				return false
			}
		}
		return true
	}, 30*time.Second, 20*time.Millisecond, "%v", least)
}
