package federation

import (
	"context"
	"errors"
	"flag"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
)

// consumer folds what a watcher tells over what it has looked up, as go-micro's cache does.
type consumer struct {
	mu    sync.Mutex
	nodes map[string]string // "service/version/id" → "dc/address"
	told  []string          // "action dc/id"
	names []string          // of the services that it knows
}

func newConsumer() *consumer { return &consumer{nodes: make(map[string]string)} }

func place(n *registry.Node) string { return n.Metadata[DatacenterKey] + "/" + n.Address }

func (c *consumer) look(services []*registry.Service) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range services {
		for _, n := range s.Nodes {
			c.nodes[s.Name+"/"+s.Version+"/"+n.Id] = place(n)
		}
	}
}

// follow folds until the watcher ends.
func (c *consumer) follow(w registry.Watcher) {
	for {
		r, err := w.Next()
		if err != nil {
			return
		}
		c.fold(r)
	}
}

func (c *consumer) fold(r *registry.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := r.Service.Nodes[0]
	c.told = append(c.told, r.Action+" "+n.Metadata[DatacenterKey]+"/"+n.Id)
	key := r.Service.Name + "/" + r.Service.Version + "/" + n.Id
	if r.Action == "delete" {
		delete(c.nodes, key)
	} else {
		c.nodes[key] = place(n)
	}
}

func (c *consumer) hears() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.told
	c.told = nil
	return told
}

// watch returns a consumer of what a new watcher tells.
func (f *three) watch(t *testing.T, opts ...registry.WatchOption) *consumer {
	t.Helper()
	w, err := f.Watch(opts...)
	require.NoError(t, err)
	c := newConsumer()
	var done sync.WaitGroup
	done.Go(func() { c.follow(w) })
	t.Cleanup(func() { w.Stop(); done.Wait() })
	return c
}

func TestNewNodesAreToldBeforeTheOldOnesGo(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a", "b"))
		f.eu2.put(greeter("c", "d"))
		f.serves(t, "eu1/a", "eu1/b")
		c := f.watch(t, registry.WatchService("greeter"))
		f.eu1.remove(greeter("a"))
		require.Equal(t, []string{"delete eu1/a"}, c.hears())
		f.eu1.remove(greeter("b"))
		require.Equal(t, []string{"create eu2/c", "create eu2/d", "delete eu1/b"}, c.hears())
		f.eu1.put(greeter("e"))
		require.Empty(t, c.hears())
		time.Sleep(defaultHold)
		require.Equal(t, []string{"create eu1/e", "delete eu2/c", "delete eu2/d"}, c.hears())
	})
}

// An id that two data centers have is one node for go-micro's cache.
func TestEqualIdsDoNotCancelEachOther(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a", "b"))
		there := greeter("a")
		there.Nodes[0].Address = "far:1"
		f.us1.put(there)
		f.serves(t, "eu1/a", "eu1/b")
		c := f.watch(t, registry.WatchService("greeter"))
		f.us1.remove(greeter("a"))
		require.Empty(t, c.hears())
		f.us1.put(there)
		f.eu1.remove(greeter("b"))
		require.Equal(t, []string{"delete eu1/b"}, c.hears())
		f.eu1.remove(greeter("a"))
		require.Equal(t, []string{"update us1/a"}, c.hears())
		f.eu1.remove(greeter("a"))
		require.Empty(t, c.hears())
		f.serves(t, "us1/a")
	})
}

// In the old version it is gone before it is in the new one.
func TestAnEqualIdOfAnotherVersionMoves(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a"))
		newer := greeter("a")
		newer.Version = "2"
		f.us1.put(newer)
		f.serves(t, "eu1/a")
		c := f.watch(t, registry.WatchService("greeter"))
		f.eu1.remove(greeter("a"))
		require.Equal(t, []string{"delete eu1/a", "update us1/a"}, c.hears())
	})
}

func TestAWatcherAfterALookupHearsOfTheFailoverInBetween(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a"))
		f.eu2.put(greeter("c"))
		f.serves(t, "eu1/a")
		f.eu1.remove(greeter("a"))
		time.Sleep(10 * time.Second)
		c := f.watch(t, registry.WatchService("greeter"))
		require.ElementsMatch(t, []string{"create eu2/c", "delete eu1/a"}, c.hears())
	})
}

func TestAWatcherBeginsWithAllWhenNobodyCouldBeAsked(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a"))
		for _, r := range f.all() {
			time.AfterFunc(time.Minute, r.silence())
		}
		began := time.Now()
		c := f.watch(t, registry.WatchService("greeter"))
		all := f.watch(t)
		require.LessOrEqual(t, time.Since(began), 6*time.Second, "two calls")
		time.Sleep(2 * time.Minute)
		require.Equal(t, []string{"create eu1/a"}, c.hears())
		require.Equal(t, []string{"create eu1/a"}, all.hears())
	})
}

func TestAWatcherOfAllServices(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		named := func(name string, ids ...string) *registry.Service {
			s := greeter(ids...)
			s.Name = name
			return s
		}
		f.eu1.put(named("old", "o"))
		f.us1.put(named("abroad", "x"))
		c := f.watch(t)
		require.Empty(t, c.hears(), "only what changes from now on")
		f.eu1.put(named("a/b", "1"))
		f.eu1.put(named("a-b", "1"))
		require.ElementsMatch(t, []string{"create eu1/1", "create eu1/1"}, c.hears())
		f.us1.put(named("abroad", "y"))
		require.Equal(t, []string{"create us1/y"}, c.hears())
		f.us1.put(named("new", "z"))
		require.Equal(t, []string{"create us1/z"}, c.hears())
		f.us1.put(named("old", "u"))
		require.Empty(t, c.hears())
		f.eu1.remove(named("old", "o"))
		require.Equal(t, []string{"create us1/u", "delete eu1/o"}, c.hears())
		require.LessOrEqual(t, f.eu1.watcherCount(), 3, "not one for each service")
		f.eu1.remove(named("a/b", "1"))
		require.Equal(t, []string{"delete eu1/1"}, c.hears())
		services, err := f.GetService("a-b")
		require.NoError(t, err)
		require.Len(t, services, 1)
		for range 12 {
			time.Sleep(time.Minute)
		}
		f.eu1.put(named("late", "l"))
		require.Equal(t, []string{"create eu1/l"}, c.hears())
	})
}

func TestAWatcherAfterAListHearsOfWhatChangedInBetween(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a", "b"))
		services, err := f.ListServices()
		require.NoError(t, err)
		services[0].Nodes[0].Metadata["mine"] = "now"
		f.eu1.remove(greeter("a"))
		c := f.watch(t)
		require.Equal(t, []string{"delete eu1/a"}, c.hears())
	})
}

func TestWatchContextAndStopEndAWatcher(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		ctx, cancel := context.WithCancel(t.Context())
		one, err := f.Watch(registry.WatchService("greeter"), registry.WatchContext(ctx))
		require.NoError(t, err)
		all, err := f.Watch(registry.WatchContext(ctx))
		require.NoError(t, err)
		cancel()
		for _, w := range []registry.Watcher{one, all} {
			_, err = w.Next()
			require.ErrorIs(t, err, registry.ErrWatcherStopped)
			require.ErrorIs(t, err, context.Canceled)
		}
		w, err := f.Watch(registry.WatchService("greeter"))
		require.NoError(t, err)
		w.Stop()
		w.Stop()
		_, err = w.Next()
		require.Equal(t, registry.ErrWatcherStopped, err, "go-micro compares it")
	})
}

var (
	fixedSeed = flag.Uint64("seed", 0, "repeats a random test; 0 takes a new seed")
	schedules = flag.Int("schedules", 200, "random schedules")
)

// TestFoldingEventsOverALookupGivesTheLookup lets three registries and their consumers do and suffer things at random.
// In the end what every consumer knows must be what GetService answers, and that must follow from what the registries
// have.
func TestFoldingEventsOverALookupGivesTheLookup(t *testing.T) {
	seed := *fixedSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for i := range *schedules {
		seed := seed + uint64(i)
		withThree(t, func(t *testing.T, f *three) {
			defer func() {
				if t.Failed() {
					t.Logf("to repeat: -seed %d -schedules 1", seed)
				}
			}()
			random := rand.New(rand.NewPCG(seed, 0))
			m := &model{three: f, random: random}
			for range 5 + random.IntN(40) {
				m.step(t)
			}
			m.check(t)
		}, FailoverBelow(1+i%3), Hold(time.Duration(i%2)*defaultHold))
	}
}

type model struct {
	*three
	random    *rand.Rand
	consumers []*consumer
	speak     []func()
	restore   []func()
}

var modelServices = []string{"greeter", "a-b", "a/b"}

func (m *model) service() *registry.Service {
	pick := func(of ...string) string { return of[m.random.IntN(len(of))] }
	s := greeter(pick("1", "2", "3", "4"))
	s.Name, s.Version = pick(modelServices...), pick("v1", "v1", "v2")
	s.Nodes[0].Address = pick("x:1", "y:1")
	s.Metadata = map[string]string{"color": pick("red", "blue")}
	return s
}

func (m *model) step(t *testing.T) {
	t.Helper()
	at := m.all()[m.random.IntN(3)]
	switch n := m.random.IntN(40); {
	case n < 12:
		at.put(m.service())
	case n < 22:
		at.remove(m.service())
	case n < 24:
		at.setAway(errAway)
	case n < 26:
		at.setAway(nil)
	case n < 27:
		m.restore = append(m.restore, at.wipe())
	case n < 28 && len(m.restore) > 0:
		m.restore[m.random.IntN(len(m.restore))]()
	case n < 29 && len(m.speak) == 0:
		m.speak = append(m.speak, at.silence())
	case n < 30 && len(m.speak) > 0:
		m.speak[0]()
		m.speak = nil
	case n < 32 && len(m.consumers) < 4:
		m.consume(t)
	case n < 34:
		time.Sleep(time.Duration(m.random.Int64N(int64(time.Minute))))
	case n < 35:
		time.Sleep(time.Duration(m.random.Int64N(int64(15 * time.Minute))))
	case n < 37:
		_, _ = m.GetService(modelServices[m.random.IntN(3)])
	case n < 39:
		synctest.Wait()
	default:
		time.Sleep(time.Duration(m.random.Int64N(int64(time.Second))))
	}
}

// consume begins a consumer of all services, or of one, which it may look up before, and some time before.
func (m *model) consume(t *testing.T) {
	t.Helper()
	c := newConsumer()
	var opts []registry.WatchOption
	names := modelServices
	if m.random.IntN(3) > 0 {
		names = names[m.random.IntN(3):][:1]
		opts = append(opts, registry.WatchService(names[0]))
	}
	for _, name := range names {
		services, err := m.GetService(name)
		if err != nil && !errors.Is(err, registry.ErrNotFound) {
			return // a lookup that fails says nothing
		}
		c.look(services)
	}
	m.consumers = append(m.consumers, c)
	for range m.random.IntN(3) {
		m.all()[m.random.IntN(3)].put(m.service())
		m.all()[m.random.IntN(3)].remove(m.service())
		time.Sleep(time.Duration(m.random.Int64N(int64(10 * time.Second))))
	}
	w, err := m.Watch(opts...)
	require.NoError(t, err)
	var done sync.WaitGroup
	done.Go(func() { c.follow(w) })
	t.Cleanup(func() { w.Stop(); done.Wait() })
	c.names = names
}

func (m *model) check(t *testing.T) {
	t.Helper()
	for _, speak := range m.speak {
		speak()
	}
	for _, r := range m.all() {
		r.setAway(nil)
	}
	for range 4 { // nobody's hold, or failed read, lasts longer
		time.Sleep(defaultHold)
		synctest.Wait()
	}
	for _, name := range modelServices {
		services, err := m.GetService(name)
		if err != nil {
			require.Equal(t, registry.ErrNotFound, err)
		}
		synctest.Wait()
		want := newConsumer()
		want.look(services)
		require.Equal(t, m.expected(name), slices.Sorted(maps.Values(want.nodes)), name)
		for i, c := range m.consumers {
			if !slices.Contains(c.names, name) {
				continue
			}
			require.Equal(t, want.nodes, c.of(name), "consumer %d of %v, service %s", i, c.names, name)
		}
	}
}

// of returns what the consumer knows of a service.
func (c *consumer) of(name string) map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := maps.Clone(c.nodes)
	maps.DeleteFunc(known, func(key, _ string) bool { return len(key) <= len(name) || key[:len(name)+1] != name+"/" })
	return known
}

// expected is what the registries' content comes to.
func (m *model) expected(name string) []string {
	all := m.datacenters
	for i, d := range all {
		services, _ := d.services(context.Background(), name, nil)
		places := []string{}
		for _, s := range services {
			for _, n := range s.Nodes {
				places = append(places, place(n))
			}
		}
		slices.Sort(places)
		if len(places) >= max(1, m.below) || i > 0 && len(places) > 0 {
			return places
		}
	}
	services, _ := all[0].services(context.Background(), name, nil)
	c := newConsumer()
	c.look(services)
	return slices.Sorted(maps.Values(c.nodes))
}
