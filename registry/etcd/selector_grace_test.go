package etcd

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/micro-etcd/micro-etcd/internal/reflector"
)

func TestFindMass(t *testing.T) {
	type gone struct {
		after int // seconds
		left  int
	}
	for name, c := range map[string]struct {
		gone []gone
		want int
	}{
		"all of four at once": {[]gone{{0, 0}, {0, 0}, {0, 0}, {0, 0}}, 4},
		"three of four":       {[]gone{{0, 1}, {0, 1}, {0, 1}}, 3},
		"all of three":        {[]gone{{0, 0}, {0, 0}, {0, 0}}, 0},
		"half of four":        {[]gone{{0, 2}, {0, 2}}, 0},
		"one after the other": {[]gone{{0, 9}, {2, 8}, {4, 7}, {6, 6}, {8, 5}, {10, 4}}, 6},
		"too slowly":          {[]gone{{0, 9}, {3, 8}, {6, 7}, {9, 6}, {12, 5}, {15, 4}}, 0},
		"replaced one after another": {
			[]gone{{0, 10}, {1, 10}, {2, 10}, {3, 10}, {4, 10}, {5, 10}, {6, 10}, {7, 10}, {8, 10}, {9, 10}}, 0,
		},
		"one long before":       {[]gone{{0, 9}, {20, 4}, {20, 4}, {20, 4}, {20, 4}, {20, 4}}, 5},
		"the rest after a mass": {[]gone{{0, 2}, {0, 2}, {0, 2}, {0, 2}, {5, 1}, {30, 0}}, 5},
		"nothing":               {nil, 0},
	} {
		found := 0
		var all []*removal
		for _, g := range c.gone {
			all = append(all, &removal{at: int64(g.after) * int64(time.Second), left: g.left})
		}
		findMass(all)
		for _, one := range all {
			if one.mass {
				found++
			}
		}
		require.Equal(t, c.want, found, name)
	}
}

const grace = time.Minute

func TestAMassOfLossesHasGrace(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		f.del(nodes[:6]...)
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
		services, err := f.registry.GetService("greeter")
		require.NoError(t, err)
		require.Equal(t, ids(nodes[6:]), ids(services[0].Nodes), "lookups tell the truth")
		status := f.registry.Status().Followed[0]
		require.Equal(t, 4, status.Nodes)
		require.Equal(t, 6, status.Lost)

		time.Sleep(grace - time.Nanosecond)
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
		time.Sleep(time.Nanosecond)
		require.Equal(t, ids(nodes[6:]), chosen(t, s, "greeter"))
		require.Zero(t, f.registry.Status().Followed[0].Lost)
	}, Grace(grace))
}

func TestGraceWhenNobodyIsLeft(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		f.del(nodes...)
		_, err := f.registry.GetService("greeter")
		require.Equal(t, registry.ErrNotFound, err)
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
		require.Equal(t, ids(nodes), chosen(
			t, s, "greeter", selector.WithFilter(selector.FilterVersion("1"), selector.FilterEndpoint("Greeter.V1")),
		))
		time.Sleep(grace)
		_, err = s.Select("greeter")
		require.Equal(t, selector.ErrNotFound, err)
	}, Grace(grace))
}

func TestEachSelectorHasItsOwnGrace(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		without, shorter := f.selector(), f.selector(Grace(grace/2))
		pick(t, without, "greeter")
		pick(t, shorter, "greeter")
		f.del(nodes...)
		require.Equal(t, ids(nodes), chosen(t, shorter, "greeter"))
		time.Sleep(grace / 2)
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
		_, err := without.Select("greeter")
		require.Equal(t, selector.ErrNotFound, err)
		_, err = shorter.Select("greeter")
		require.Equal(t, selector.ErrNotFound, err)
		_, err = f.selector(Grace(grace)).Select("greeter")
		require.Equal(t, selector.ErrNotFound, err, "one that comes later never had them")
		require.Equal(t, 4, f.registry.Status().Followed[0].Lost, "the longest counts")
	}, Grace(grace))
}

// Nobody selects while the nodes go, and when somebody does, it may be long after.
func TestRemovalsAreNotedWhenTheyHappen(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		for _, n := range nodes[:6] {
			time.Sleep(massTime / 2)
			f.del(n)
		}
		require.Equal(t, ids(nodes[6:]), chosen(t, s, "greeter"), "one after the other")
	}, Grace(grace))
	inBubble(t, 10, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		f.del(nodes[:6]...)
		time.Sleep(grace)
		require.Equal(t, ids(nodes[6:]), chosen(t, s, "greeter"), "a minute ago")
	}, Grace(grace))
}

func TestNoGraceByDefault(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		f.del(nodes[:6]...)
		require.Equal(t, ids(nodes[6:]), chosen(t, s, "greeter"))
		require.Empty(t, s.state.Load().known("greeter").removals)
		require.Zero(t, f.registry.Status().Followed[0].Watchers, "nor is anything watched for it")
	})
}

func TestNoGraceForAFew(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		f.del(nodes[:5]...)
		require.Equal(t, ids(nodes[5:]), chosen(t, s, "greeter"))
	}, Grace(grace))
	inBubble(t, 3, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		f.del(nodes...)
		_, err := s.Select("greeter")
		require.Equal(t, selector.ErrNotFound, err)
	}, Grace(grace))
}

func TestNoGraceForWhatThisRegistryDeregisters(t *testing.T) {
	for _, echoFirst := range []bool{false, true} {
		inBubble(t, 4, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
			for _, n := range nodes {
				revision := f.revision + 1
				if echoFirst {
					f.del(n)
				}
				f.registry.components.Load().registrar.Deleted(f.key(n), revision)
				if !echoFirst {
					f.del(n)
				}
			}
			_, err := s.Select("greeter")
			require.Equal(t, selector.ErrNotFound, err)
		}, Grace(grace))
	}
}

func TestWhatComesBackIsNotLost(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		f.del(nodes...)
		f.put("1", nodes[:2]...)
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
		require.Equal(t, 8, f.registry.Status().Followed[0].Lost)
		f.put("1", nodes[2:5]...)
		require.Equal(t, ids(nodes[:5]), chosen(t, s, "greeter"), "half of them are enough")
		require.Zero(t, f.registry.Status().Followed[0].Lost)
		f.del(nodes[4])
		require.Equal(t, ids(nodes[:4]), chosen(t, s, "greeter"), "and that is the end of it")
	}, Grace(grace))
}

// Nodes crash, calls fail, and their records expire later.
func TestANodeThatWasEjectedBeforeItWasLostIsGivenUp(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		for _, n := range nodes[:8] {
			s.Mark("greeter", n, errRefused)
		}
		f.del(nodes[:8]...)
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
		for _, n := range nodes[:8] {
			s.Mark("greeter", n, errRefused)
		}
		require.Equal(t, ids(nodes[8:]), chosen(t, s, "greeter"))
	}, Grace(grace))
}

func TestALostNodeThatCantBeReachedIsGivenUp(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		other := f.selector(Grace(grace))
		pick(t, other, "greeter")
		f.del(nodes[:8]...)
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
		s.Mark("greeter", nodes[0], errRefused)
		s.Mark("greeter", nodes[1], errTimedOut)
		s.Mark("greeter", nodes[9], errRefused)
		require.Equal(t, ids(nodes[1:9]), chosen(t, s, "greeter"))
		require.Equal(t, ids(nodes[1:]), chosen(t, other, "greeter"), "nor by others")
		time.Sleep(2 * time.Second)
		s.Mark("greeter", pickID(t, s, nodes[9].Id), nil)
		require.Equal(t, ids(nodes[1:]), chosen(t, s, "greeter"), "for good")
	}, Grace(grace))
}

// pickID picks until the node comes up.
func pickID(t *testing.T, s selector.Selector, id string) *registry.Node {
	t.Helper()
	for {
		if n := pick(t, s, "greeter"); n.Id == id {
			return n
		}
	}
}

func TestResetEndsGrace(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		f.del(nodes[:6]...)
		s.Reset("greeter")
		require.Equal(t, ids(nodes[6:]), chosen(t, s, "greeter"))
		synctest.Wait()
		require.Equal(t, 1, f.registry.Status().Followed[0].Watchers)
	}, Grace(grace))
}

func TestLostVersionsKeepTheirProfile(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		second := some(8)[4:]
		f.put("2", second...)
		synctest.Wait()
		f.del(nodes...)
		f.del(second[0])
		v1 := selector.WithFilter(selector.FilterVersion("1"), selector.FilterEndpoint("Greeter.V1"))
		require.Equal(t, ids(nodes), chosen(t, s, "greeter", v1))
		require.Equal(t, append(ids(nodes), ids(second)...), chosen(t, s, "greeter"))
	}, Grace(grace))
}

func TestRemovalsAreForgotten(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		known := func() int {
			p := s.state.Load().known("greeter")
			p.present()
			p.mu.Lock()
			defer p.mu.Unlock()
			p.renewLocked()
			return len(p.removals)
		}
		f.del(nodes[0])
		require.Equal(t, 1, known())
		time.Sleep(massTime + time.Nanosecond)
		require.Zero(t, known(), "there was no mass")
		f.del(nodes[1:4]...)
		time.Sleep(grace - time.Nanosecond)
		require.Equal(t, 3, known())
		time.Sleep(time.Nanosecond)
		require.Zero(t, known())
	}, Grace(grace))
}

// An etcd whose leases all expire deletes the records one by one, and a list after a broken watch finds them all gone.
func TestAListMayBringTheMass(t *testing.T) {
	inBubble(t, 6, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		f.view.Listing(nil)
		f.view.Replace(&reflector.List{Header: &etcdserverpb.ResponseHeader{ClusterId: 1, Revision: f.revision + 6}})
		_, err := f.registry.GetService("greeter")
		require.Equal(t, registry.ErrNotFound, err)
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
	}, Grace(grace))
}

// A watched view never goes, so the watch must.
func TestAnIdleServiceIsNotWatched(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(5), testTTL)
		s := NewSelector(selector.Registry(r), Grace(grace))
		defer func() { require.NoError(t, s.Close()) }()
		watchers := func() int {
			synctest.Wait()
			n := 0
			for _, f := range r.Status().Followed {
				n += f.Watchers
			}
			return n
		}
		for range 10 {
			pick(t, s, "greeter")
			require.Equal(t, 1, watchers())
			time.Sleep(maxUnselected - time.Minute)
		}
		require.Equal(t, 1, watchers())
		time.Sleep(2 * time.Minute)
		require.Zero(t, watchers())
		time.Sleep(20 * time.Minute)
		require.Empty(t, r.Status().Followed)

		pick(t, s, "greeter")
		require.Equal(t, 1, watchers(), "used again")
	})
}

func TestWhoeverClosesEndsTheWatchAndWaits(t *testing.T) {
	for name, end := range map[string]func(*nodeSelector, *Registry) error{
		"the selector":    func(s *nodeSelector, _ *Registry) error { return s.Close() },
		"the registry":    func(_ *nodeSelector, r *Registry) error { return r.Close() },
		"changed options": func(s *nodeSelector, _ *Registry) error { return s.Init() },
	} {
		inBubble(t, 4, func(t *testing.T, f *staged, _ []*registry.Node, s *nodeSelector) {
			synctest.Wait()
			require.Equal(t, 1, f.registry.Status().Followed[0].Watchers, name)
			require.Contains(t, goroutines(), "etcd.(*pool).watch(", name)
			require.NoError(t, end(s, f.registry))
			require.NotContains(t, goroutines(), "etcd.(*pool).", name)
			synctest.Wait()
			require.Zero(t, f.registry.Status().Followed[0].Watchers, name)
		}, Grace(grace))
	}
}

func goroutines() string {
	stacks := make([]byte, 1<<20)
	return string(stacks[:runtime.Stack(stacks, true)])
}

// goleak and the bubble look for what is left.
func TestARegistryClosedUnderASelectorWithGraceLeavesNothing(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		provider, _ := e.newRegistry(t)
		r, _ := e.newRegistry(t)
		mustRegister(t, provider, greeter(5), testTTL)
		s := NewSelector(selector.Registry(r), Grace(grace)).(*nodeSelector)
		pick(t, s, "greeter")
		require.NoError(t, r.Close())
		s.state.Load().running.Wait()
		_, err := s.Select("greeter")
		require.ErrorIs(t, err, ErrClosed)
	})
}

func TestStatusTellsOfGrace(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		for i := range 5 {
			e.PutKey(fmt.Sprint(DefaultPrefix, "greeter/n", i), valueOf(t, i), 0)
		}
		s := NewSelector(selector.Registry(r), Grace(grace))
		defer func() { require.NoError(t, s.Close()) }()
		pick(t, s, "greeter")
		lost := func() int {
			synctest.Wait()
			return r.Status().Followed[0].Lost
		}
		require.Zero(t, lost())
		for i := range 4 {
			e.Remove(fmt.Sprint(DefaultPrefix, "greeter/n", i))
		}
		require.Equal(t, 4, lost())
		require.NoError(t, r.Deregister(&registry.Service{Name: "greeter", Nodes: []*registry.Node{{Id: "n4"}}}))
		require.Equal(t, 4, lost(), "what this registry deregisters isn't lost")
		time.Sleep(grace)
		require.Zero(t, lost())
	})
}

func valueOf(t *testing.T, i int) string {
	t.Helper()
	value, err := json.Marshal(&registry.Service{
		Name: "greeter", Version: "1",
		Nodes: []*registry.Node{{Id: fmt.Sprint("n", i), Address: fmt.Sprint("10.0.0.1:", i+1)}},
	})
	require.NoError(t, err)
	return string(value)
}
