package federation

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/registry/cache"
	"go-micro.dev/v4/selector"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/registry/federation"
)

var fixedSeed = flag.Uint64("seed", 0, "repeats the random test; 0 takes a new seed")

// consumer folds what a watcher tells over what it has looked up, as go-micro's cache does.
type consumer struct {
	mu    sync.Mutex
	nodes map[string]string // "name/version/id" → "dc/address metadata"
	none  bool              // there were none for a moment
}

func (c *consumer) look(services []*registry.Service) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range services {
		for _, n := range s.Nodes {
			c.nodes[s.Name+"/"+s.Version+"/"+n.Id] = whereOf(n)
		}
	}
}

func whereOf(n *registry.Node) string { return n.Metadata[federation.DatacenterKey] + "/" + n.Address }

func (c *consumer) follow(w registry.Watcher) {
	for {
		r, err := w.Next()
		if err != nil {
			return
		}
		c.mu.Lock()
		n := r.Service.Nodes[0]
		key := r.Service.Name + "/" + r.Service.Version + "/" + n.Id
		if r.Action == "delete" {
			delete(c.nodes, key)
		} else {
			c.nodes[key] = whereOf(n)
		}
		c.none = c.none || len(c.nodes) == 0
		c.mu.Unlock()
	}
}

func (c *consumer) known() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.nodes)
}

// consume begins a consumer of some services, which it looks up first.
func consume(t *testing.T, r registry.Registry, names []string, opts ...registry.WatchOption) *consumer {
	t.Helper()
	c := &consumer{nodes: make(map[string]string)}
	for _, name := range names {
		services, _ := r.GetService(name)
		c.look(services)
	}
	w, err := r.Watch(opts...)
	require.NoError(t, err)
	var done sync.WaitGroup
	done.Go(func() { c.follow(w) })
	t.Cleanup(func() { w.Stop(); done.Wait() })
	return c
}

func TestAWatcherNeverKnowsOfNobodyWhileSomebodyServes(t *testing.T) {
	t.Parallel()
	home, us1 := newPlace(t, "eu1"), newPlace(t, "us1")
	kill := home.mortal(t, "a", "b")
	us1.registered(t, "u", "v")
	f := federate(t, 0, home, us1)
	serves(t, f, "eu1/a", "eu1/b")
	c := consume(t, f, []string{"greeter"}, registry.WatchService("greeter"))
	for range 20 {
		kill()
		serves(t, f, "us1/u", "us1/v")
		kill = home.mortal(t, "a", "b")
		serves(t, f, "eu1/a", "eu1/b")
	}
	eventually(t, "it knows who serves", func() bool { return len(c.known()) == 2 })
	require.False(t, c.none)
}

func TestEqualIdsDoNotCancelEachOther(t *testing.T) {
	t.Parallel()
	home, us1 := newPlace(t, "eu1"), newPlace(t, "us1")
	greeters := home.registered(t, "a", "b")
	remote := us1.registered(t, "a")
	f := federate(t, longHold, home, us1)
	serves(t, f, "eu1/a", "eu1/b")
	c := consume(t, f, []string{"greeter"}, registry.WatchService("greeter"))
	require.NoError(t, remote.Deregister(greeter("a")))
	require.NoError(t, remote.Register(greeter("a")))
	stays(t, f, time.Second, "eu1/a", "eu1/b")
	require.NoError(t, greeters.Deregister(greeter("a", "b")))
	serves(t, f, "us1/a")
	eventually(t, "it knows the remote node", func() bool {
		return maps.Equal(c.known(), map[string]string{"greeter/1/a": "us1/10.0.0.1:80"})
	})
	require.ElementsMatch(t, []string{"us1/a"}, nodes(t, f, federation.Everywhere()))
}

// TestFoldingEventsOverALookupGivesTheLookup lets nodes come and go at random in three data centers, which are cut off
// at times, so that services fail over and back.
func TestFoldingEventsOverALookupGivesTheLookup(t *testing.T) {
	t.Parallel()
	seed := *fixedSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("to repeat: -seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	places := []*place{newPlace(t, "eu1"), newPlace(t, "eu2"), newPlace(t, "us1")}
	var writers []registry.Registry
	for _, p := range places {
		writers = append(writers, open(t, p.etcd.Endpoint()))
	}
	f := federate(t, 100*time.Millisecond, places...)
	names := []string{"greeter", "a-b", "a/b"}
	served := make(map[string]int) // by who serves
	var consumers []*consumer
	var of [][]string
	for i := range 600 {
		if i%60 == 0 {
			some, opts := names, []registry.WatchOption{}
			if random.IntN(2) > 0 {
				some = names[random.IntN(3):][:1]
				opts = append(opts, registry.WatchService(some[0]))
			}
			consumers, of = append(consumers, consume(t, f, some, opts...)), append(of, some)
		}
		at := random.IntN(3)
		s := greeter(pick("1", "2", "3"))
		s.Name, s.Version, s.Nodes[0].Address = pick(names...), pick("1", "1", "2"), pick("x:1", "y:1")
		if s.Name == "a/b" {
			s.Nodes[0].Id += "/" // its directory in etcd is that of a-b
		}
		switch n := random.IntN(40); {
		case n < 16:
			require.NoError(t, writers[at].Register(s))
		case n < 36:
			require.NoError(t, writers[at].Deregister(s))
		case n < 37:
			places[at].cut()
		case n < 39:
			places[at].heal(t)
		default:
			time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
		}
		services, err := f.GetService(s.Name)
		if err == nil {
			served[services[0].Nodes[0].Metadata[federation.DatacenterKey]]++
		}
	}
	require.Len(t, served, 3, "everybody has served")
	for _, p := range places {
		p.heal(t)
	}
	for _, name := range names {
		eventually(t, name+" is served as the data centers say", func() bool {
			want, err := expected(writers, name)
			services, got := f.GetService(name)
			if err != nil || got != nil && !errors.Is(got, registry.ErrNotFound) {
				return false
			}
			c := &consumer{nodes: make(map[string]string)}
			c.look(services)
			return slices.Equal(want, slices.Sorted(maps.Values(c.nodes)))
		})
	}
	for i, c := range consumers {
		eventually(t, fmt.Sprintf("consumer %d of %v knows that", i, of[i]), func() bool {
			now := &consumer{nodes: make(map[string]string)}
			for _, name := range of[i] {
				services, _ := f.GetService(name)
				now.look(services)
			}
			return maps.Equal(now.nodes, c.known())
		})
	}
}

// expected is who serves as the data centers say, as "dc/address".
func expected(places []registry.Registry, name string) ([]string, error) {
	for i, r := range places {
		services, err := r.GetService(name, etcd.Linearizable())
		if errors.Is(err, registry.ErrNotFound) {
			continue
		}
		var all []string
		for _, s := range services {
			for _, n := range s.Nodes {
				all = append(all, []string{"eu1", "eu2", "us1"}[i]+"/"+n.Address)
			}
		}
		slices.Sort(all)
		return all, err
	}
	return nil, nil
}

func TestTheCacheAndTheSelectorFollow(t *testing.T) {
	t.Parallel()
	home, us1 := newPlace(t, "eu1"), newPlace(t, "us1")
	kill := home.mortal(t, "a", "b")
	us1.registered(t, "u")
	f := federate(t, time.Second, home, us1)
	inFront := cache.New(f)
	t.Cleanup(inFront.Stop)
	s := etcd.NewSelector(selector.Registry(f))
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	cached := func() []string {
		services, _ := inFront.GetService("greeter")
		var all []string
		for _, s := range services {
			for _, n := range s.Nodes {
				all = append(all, n.Metadata[federation.DatacenterKey]+"/"+n.Id)
			}
		}
		slices.Sort(all)
		return all
	}
	selected := func() []string {
		all := make(map[string]bool)
		for range 50 {
			next, err := s.Select("greeter")
			require.NoError(t, err)
			n, err := next()
			require.NoError(t, err)
			all[n.Metadata[federation.DatacenterKey]+"/"+n.Id] = true
		}
		return slices.Sorted(maps.Keys(all))
	}
	follow := func(want ...string) {
		t.Helper()
		eventually(t, "the selector picks", func() bool { return slices.Equal(want, selected()) })
		eventually(t, "the cache has", func() bool { return slices.Equal(want, cached()) })
	}
	follow("eu1/a", "eu1/b")
	kill()
	follow("us1/u")
	kill = home.mortal(t, "c", "d")
	follow("eu1/c", "eu1/d")
	kill()
	follow("us1/u")
}
