package etcd

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go-micro.dev/v4/util/cmd"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

var _ selector.Selector = (*nodeSelector)(nil)

func TestImportingRegistersASelectorNamedEtcd(t *testing.T) {
	s := cmd.DefaultSelectors["etcd"]()
	require.Equal(t, "etcd", s.String())
	require.NoError(t, s.Close())
}

func TestSelectPicksFromAllVersions(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(10)
	f.put("1", nodes[:5]...)
	f.put("2", nodes[5:]...)
	for name, strategy := range map[string]selector.Strategy{"random": selector.Random, "rotating": selector.RoundRobin} {
		require.Equal(t, ids(nodes), chosen(t, f.selector(selector.SetStrategy(strategy)), "greeter"), name)
	}
}

func TestSelectFollowsTheView(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(3)
	s := f.selector()
	f.put("1", nodes[:2]...)
	require.Equal(t, ids(nodes[:2]), chosen(t, s, "greeter"))
	f.put("1", nodes[2])
	f.del(nodes[0])
	require.Equal(t, ids(nodes[1:]), chosen(t, s, "greeter"))
	f.del(nodes[1:]...)
	_, err := s.Select("greeter")
	require.Equal(t, selector.ErrNotFound, err)
	f.put("1", nodes[0])
	require.Equal(t, ids(nodes[:1]), chosen(t, s, "greeter"))
}

func TestRoundRobinIsARotationOverAllCalls(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(7)
	f.put("1", nodes...)
	byDefault := f.selector(selector.SetStrategy(selector.RoundRobin))
	random := f.selector()
	for name, one := range map[string]func() *registry.Node{
		"by default": func() *registry.Node { return pick(t, byDefault, "greeter") },
		"by option":  func() *registry.Node { return pick(t, random, "greeter", selector.WithStrategy(selector.RoundRobin)) },
		"with filter": func() *registry.Node {
			return pick(t, byDefault, "greeter", selector.WithFilter(selector.FilterVersion("1")))
		},
	} {
		first := slices.Index(ids(nodes), one().Id)
		for i := range 3 * len(nodes) {
			require.Equal(t, nodes[(first+i+1)%len(nodes)].Id, one().Id, name)
		}
	}
}

func TestRoundRobinIsExactAmongGoroutines(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(10)
	f.put("1", nodes...)
	s := f.selector(selector.SetStrategy(selector.RoundRobin))
	var mu sync.Mutex
	total := make(map[string]int)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			mine := tally(t, 1000, s, "greeter")
			mu.Lock()
			defer mu.Unlock()
			for id, n := range mine {
				total[id] += n
			}
		})
	}
	wg.Wait()
	for _, n := range nodes {
		require.Equal(t, 800, total[n.Id])
	}
}

func TestRandomIsEven(t *testing.T) {
	f := stage(t, "greeter")
	f.put("1", some(10)...)
	for id, n := range tally(t, 20_000, f.selector(), "greeter") {
		require.InDelta(t, 2000, n, 300, id)
	}
}

func TestAFunctionThatCallsRoundRobinIsAStrategyOfTheUser(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(3)
	f.put("1", nodes...)
	asked := 0
	s := f.selector(selector.SetStrategy(func(services []*registry.Service) selector.Next {
		asked++
		return selector.RoundRobin(services)
	}))
	require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
	require.Equal(t, 400, asked)
}

func TestFiltersAreAppliedInOrder(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(8)
	f.put("1", nodes[:4]...)
	f.put("2", nodes[4:]...)
	s := f.selector()
	for _, c := range []struct {
		filters []selector.Filter
		want    []*registry.Node
	}{
		{[]selector.Filter{selector.FilterVersion("1")}, nodes[:4]},
		{[]selector.Filter{selector.FilterEndpoint("Greeter.V2")}, nodes[4:]},
		{[]selector.Filter{
			selector.FilterVersion("1"), selector.FilterLabel("parity", "odd"),
		}, []*registry.Node{nodes[1], nodes[3]}},
		{[]selector.Filter{func(all []*registry.Service) []*registry.Service { return all }}, nodes},
	} {
		require.Equal(t, ids(c.want), chosen(t, s, "greeter", selector.WithFilter(c.filters...)))
	}
}

func TestErrorsAreThoseOfGoMicro(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(2)
	memory := registry.NewMemoryRegistry()
	require.NoError(t, memory.Register(&registry.Service{Name: "greeter", Version: "1", Nodes: nodes}))
	f.put("1", nodes...)
	follow := selector.WithFilter(
		func([]*registry.Service) []*registry.Service { return []*registry.Service{{Version: "1"}} },
	)
	standard := selector.NewSelector(selector.Registry(memory))
	defer func() { require.NoError(t, standard.Close()) }()
	for _, s := range []selector.Selector{standard, f.selector(), f.selector(selector.SetStrategy(selector.RoundRobin))} {
		next, err := s.Select("greeter", selector.WithFilter(selector.FilterVersion("9")))
		require.Equal(t, selector.ErrNoneAvailable, err)
		require.Nil(t, next)
		next, err = s.Select("greeter", follow)
		require.NoError(t, err)
		node, err := next()
		require.Equal(t, selector.ErrNoneAvailable, err)
		require.Nil(t, node)
	}
	f.del(nodes...)
	next, err := f.selector().Select("greeter")
	require.Equal(t, selector.ErrNotFound, err)
	require.Nil(t, next)
	_, err = f.selector().Select("..")
	require.ErrorIs(t, err, ErrServiceName)
}

func TestFiltersAndStrategiesMayChangeWhatTheyAreGiven(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(20)
	f.put("1", nodes[:10]...)
	f.put("2", nodes[10:]...)
	s := f.selector()
	spoil := func(services []*registry.Service) {
		for i, service := range services {
			rand.Shuffle(len(service.Nodes), func(i, j int) {
				service.Nodes[i], service.Nodes[j] = service.Nodes[j], service.Nodes[i]
			})
			service.Nodes[0] = nil
			service.Name, service.Version, service.Nodes, service.Endpoints = "x", "x", service.Nodes[1:3], nil
			services[i] = nil
		}
	}
	spoiling := selector.WithFilter(func(services []*registry.Service) []*registry.Service {
		left := []*registry.Service{services[0]}
		spoil(services)
		return left
	})
	strategy := selector.WithStrategy(func(services []*registry.Service) selector.Next {
		node := services[0].Nodes[0]
		spoil(services)
		return func() (*registry.Node, error) { return node, nil }
	})
	keeping := selector.WithFilter(func(services []*registry.Service) []*registry.Service { return services[1:] })
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				for _, opts := range [][]selector.SelectOption{{spoiling}, {strategy}, {keeping, strategy}} {
					if pick(t, s, "greeter", opts...) == nil {
						t.Error("a node that is nil")
					}
				}
				if id := pick(t, s, "greeter", keeping).Id; id < nodes[10].Id {
					t.Error("a node of version 1:", id)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
	services, err := f.registry.GetService("greeter")
	require.NoError(t, err)
	require.Equal(t, ids(nodes[:10]), ids(services[0].Nodes))
	require.Equal(t, ids(nodes[10:]), ids(services[1].Nodes))
}

func TestWhatOneFilterChangesNoOtherSees(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(6)
	f.put("1", nodes...)
	s := f.selector()
	reverse := selector.WithFilter(func(services []*registry.Service) []*registry.Service {
		require.Equal(t, ids(nodes), ids(services[0].Nodes))
		slices.Reverse(services[0].Nodes)
		return services
	})
	firstTwo := selector.WithFilter(func(services []*registry.Service) []*registry.Service {
		require.Equal(t, ids(nodes), ids(services[0].Nodes))
		services[0].Nodes = services[0].Nodes[:2]
		return services
	})
	none := selector.WithFilter(func(services []*registry.Service) []*registry.Service {
		require.Equal(t, ids(nodes), ids(services[0].Nodes))
		clear(services[0].Nodes)
		return nil
	})
	for range 50 {
		next, err := s.Select("greeter", firstTwo)
		require.NoError(t, err)
		pick(t, s, "greeter", reverse)
		_, err = s.Select("greeter", none)
		require.Equal(t, selector.ErrNoneAvailable, err)
		node, err := next()
		require.NoError(t, err)
		require.Contains(t, ids(nodes[:2]), node.Id)
	}
}

func TestAFilteredSelectCopiesSlicesAndNoNodes(t *testing.T) {
	f := stage(t, "greeter")
	f.put("1", some(1000)...)
	s := f.selector()
	for name, filter := range map[string]selector.Filter{
		"version": selector.FilterVersion("1"), "endpoint": selector.FilterEndpoint("Greeter.V1"),
	} {
		option := selector.WithFilter(filter)
		require.LessOrEqual(t, testing.AllocsPerRun(200, func() { pick(t, s, "greeter", option) }), 12.0, name)
	}
}

func TestAUsersStrategyDecides(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(4)
	f.put("1", nodes[:2]...)
	f.put("2", nodes[2:]...)
	last := func(services []*registry.Service) selector.Next {
		require.Len(t, services, 2)
		require.Equal(t, "blue", services[1].Metadata["team"])
		require.Equal(t, "Greeter.V2", services[1].Endpoints[0].Name)
		return func() (*registry.Node, error) { return services[1].Nodes[1], nil }
	}
	broken := errors.New("broken")
	failing := func([]*registry.Service) selector.Next {
		return func() (*registry.Node, error) { return nil, broken }
	}
	require.Equal(t, ids(nodes[3:]), chosen(t, f.selector(selector.SetStrategy(last)), "greeter"))
	require.Equal(t, ids(nodes[3:]), chosen(t, f.selector(), "greeter", selector.WithStrategy(last)))
	require.Equal(
		t, ids(nodes), chosen(t, f.selector(selector.SetStrategy(last)), "greeter", selector.WithStrategy(selector.Random)),
	)
	next, err := f.selector(selector.SetStrategy(failing)).Select("greeter")
	require.NoError(t, err)
	_, err = next()
	require.Equal(t, broken, err)
}

func TestNilStrategiesMeanTheDefault(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(2)
	f.put("1", nodes...)
	require.Equal(t, ids(nodes), chosen(t, f.selector(selector.SetStrategy(nil)), "greeter", selector.WithStrategy(nil)))
}

func TestAnotherRegistryIsServedAsGoMicroDoes(t *testing.T) {
	memory, nodes := registry.NewMemoryRegistry(), some(3)
	service := &registry.Service{Name: "greeter", Version: "1", Nodes: nodes}
	require.NoError(t, memory.Register(service))
	s := NewSelector(selector.Registry(memory), selector.SetStrategy(selector.RoundRobin))
	require.Equal(t, "etcd", s.String())
	require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
	_, err := s.Select("unknown")
	require.Equal(t, selector.ErrNotFound, err)
	s.Mark("greeter", nodes[0], errors.New("does nothing there"))
	s.Reset("greeter")
	require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
	require.NoError(t, s.Close())
	_, err = s.Select("greeter")
	require.ErrorIs(t, err, ErrSelectorClosed)
}

func TestTheRegistryDefaultsToGoMicros(t *testing.T) {
	s := NewSelector()
	require.Equal(t, registry.DefaultRegistry, s.Options().Registry)
	require.NotNil(t, s.Options().Strategy)
	require.NoError(t, s.Close())
}

// micro.Registry calls Init with the registry that the service is given.
func TestInitChangesTheRegistryAndKeepsTheOtherOptions(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(3)
	f.put("1", nodes...)
	s := NewSelector(selector.SetStrategy(selector.RoundRobin))
	require.NoError(t, s.Init(selector.Registry(f.registry)))
	first := slices.Index(ids(nodes), pick(t, s, "greeter").Id)
	require.Equal(t, nodes[(first+1)%3].Id, pick(t, s, "greeter").Id)

	require.NoError(t, s.Init(selector.Registry(registry.NewMemoryRegistry())))
	_, err := s.Select("greeter")
	require.Equal(t, selector.ErrNotFound, err)
	require.NoError(t, s.Close())
}

func TestAClosedSelectorSelectsNothing(t *testing.T) {
	f := stage(t, "greeter")
	f.put("1", some(3)...)
	s := f.selector()
	next, err := s.Select("greeter")
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, s.Close())
	}
	_, err = s.Select("greeter")
	require.ErrorIs(t, err, ErrSelectorClosed)
	require.ErrorIs(t, s.Init(), ErrSelectorClosed)
	_, err = next()
	require.NoError(t, err, "calls under way may go on")
	_, err = f.registry.GetService("greeter")
	require.NoError(t, err, "the registry stays open")
}

func TestAClosedRegistryEndsSelecting(t *testing.T) {
	f := stage(t, "greeter")
	f.put("1", some(3)...)
	s := f.selector()
	pick(t, s, "greeter")
	require.NoError(t, f.registry.Close())
	_, err := s.Select("greeter")
	require.ErrorIs(t, err, ErrClosed)
}

func TestSelectIsBoundedByTheContextOfItsOptions(t *testing.T) {
	f := stage(t, "greeter")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.selector().Select("unknown", func(o *selector.SelectOptions) { o.Context = ended })
	require.ErrorIs(t, err, context.Canceled)
}

func TestABrokenConfigurationIsTheErrorOfSelect(t *testing.T) {
	r := NewRegistry(registry.Addrs("a:b:c"))
	s := NewSelector(selector.Registry(r))
	_, err := s.Select("greeter")
	require.ErrorIs(t, err, ErrAddress)
	require.NoError(t, s.Close())
	require.NoError(t, r.(*Registry).Close())
}

func TestWhatIsKnownOfAServiceGoesWithIt(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(4)
	f.put("1", nodes...)
	s := f.selector()
	pools := func() int {
		n := 0
		s.state.Load().pools.Range(func(any, any) bool { n++; return true })
		return n
	}
	pick(t, s, "greeter")
	require.Equal(t, 1, pools())
	f.del(nodes...)
	_, err := s.Select("greeter")
	require.Equal(t, selector.ErrNotFound, err)
	require.Zero(t, pools(), "no node left")

	f.put("1", nodes...)
	pick(t, s, "greeter")
	require.Equal(t, 1, pools())
	f.registry.components.Load().views.Drop(f.view)
	require.Eventually(t, func() bool { return pools() == 0 }, waitTime, pollTime, "nobody follows it")
}

func TestSelectAllocatesNothing(t *testing.T) {
	for _, n := range []int{1, 10, 1000} {
		f, nodes := stage(t, "greeter"), some(n)
		f.put("1", nodes...)
		s := f.selector()
		rotating := f.selector(selector.SetStrategy(selector.RoundRobin))
		weighted := f.selector(Weighted(), PreferZone("here"))
		for name, one := range map[string]func(){
			"random":   func() { pick(t, s, "greeter") },
			"rotating": func() { pick(t, rotating, "greeter") },
			"weighted": func() { pick(t, weighted, "greeter") },
			"mark":     func() { s.Mark("greeter", nodes[0], nil) },
		} {
			require.Zero(t, testing.AllocsPerRun(1000, one), "%s of %d", name, n)
		}
		s.Mark("greeter", nodes[0], errRefused)
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			pick(t, s, "greeter")
			if n > 1 {
				s.Mark("greeter", nodes[n-1], nil)
			}
		}), "with one of %d ejected", n)
	}
}

func TestSelectingWhileEverythingChanges(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(12)
	f.put("1", nodes[:4]...)
	s := f.selector(Weighted(), PreferZone("here"), Grace(waitTime))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	loop := func(do func()) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					do()
				}
			}
		})
	}
	options := [][]selector.SelectOption{
		nil,
		{selector.WithStrategy(selector.RoundRobin)},
		{selector.WithFilter(selector.FilterLabel("parity", "odd"))},
		{selector.WithStrategy(func(s []*registry.Service) selector.Next { return selector.Random(s) })},
	}
	for range 4 {
		loop(func() {
			next, err := s.Select("greeter", options[rand.IntN(len(options))]...)
			if err != nil {
				return
			}
			for range 3 {
				node, err := next()
				if err != nil {
					t.Error(err)
					return
				}
				s.Mark("greeter", node, []error{nil, errRefused, errTimedOut, errHandler}[rand.IntN(4)])
			}
		})
	}
	loop(func() { _ = s.Init() })
	loop(func() { s.Reset("greeter") })
	loop(func() { _ = f.registry.Status() })
	for range 300 {
		n := 4 + rand.IntN(8)
		f.put("2", nodes[n])
		f.del(nodes[4+rand.IntN(8)], nodes[4+rand.IntN(8)])
	}
	close(stop)
	wg.Wait()
	f.put("1", nodes...)
	require.NoError(t, s.Init())
	require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
}

// While everything is watched, there are no views of single services.
func TestSelectReadsTheViewOfEverything(t *testing.T) {
	f, nodes := stageIn(t, "greeter", func(k catalog.Keyspace) string { return k.Prefix }), some(10)
	f.put("1", nodes...)
	w, err := f.registry.Watch()
	require.NoError(t, err)
	defer w.Stop()
	s := f.selector()
	require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
	require.Zero(t, testing.AllocsPerRun(1000, func() { pick(t, s, "greeter") }))
	_, err = s.Select("unknown")
	require.Equal(t, selector.ErrNotFound, err)
	f.del(nodes[0])
	require.Equal(t, ids(nodes[1:]), chosen(t, s, "greeter"))
}
