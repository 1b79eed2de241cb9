package etcd

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
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
		"all of four at once":        {[]gone{{0, 0}, {0, 0}, {0, 0}, {0, 0}}, 4},
		"three of four":              {[]gone{{0, 1}, {0, 1}, {0, 1}}, 3},
		"all of three":               {[]gone{{0, 0}, {0, 0}, {0, 0}}, 0},
		"half of four":               {[]gone{{0, 2}, {0, 2}}, 0},
		"one after the other":        {[]gone{{0, 9}, {2, 8}, {4, 7}, {6, 6}, {8, 5}, {10, 4}}, 6},
		"too slowly":                 {[]gone{{0, 9}, {3, 8}, {6, 7}, {9, 6}, {12, 5}, {15, 4}}, 0},
		"replaced one after another": {[]gone{{0, 10}, {1, 10}, {2, 10}, {3, 10}, {4, 10}, {5, 10}, {6, 10}, {7, 10}, {8, 10}, {9, 10}}, 0},
		"one long before":            {[]gone{{0, 9}, {20, 4}, {20, 4}, {20, 4}, {20, 4}, {20, 4}}, 5},
		"the rest after a mass":      {[]gone{{0, 2}, {0, 2}, {0, 2}, {0, 2}, {5, 1}, {30, 0}}, 5},
		"nothing":                    {nil, 0},
	} {
		began, found := time.Now(), 0
		var all []*loss
		for _, g := range c.gone {
			all = append(all, &loss{at: began.Add(time.Duration(g.after) * time.Second), left: g.left})
		}
		findMass(all)
		for _, one := range all {
			if one.massed {
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
		require.Equal(t, ids(nodes[6:]), ids(services[0].Nodes), "look-ups tell the truth")
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
		require.Equal(t, ids(nodes), chosen(t, s, "greeter", selector.WithFilter(selector.FilterVersion("1"), selector.FilterEndpoint("Greeter.V1"))))
		time.Sleep(grace)
		_, err = s.Select("greeter")
		require.Equal(t, selector.ErrNotFound, err)
	}, Grace(grace))
}

func TestASelectorMayComeAfterTheMass(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, f *staged, nodes []*registry.Node, _ *nodeSelector) {
		f.del(nodes...)
		time.Sleep(grace / 2)
		require.Equal(t, ids(nodes), chosen(t, f.selector(Grace(grace)), "greeter"))
		_, err := f.selector().Select("greeter")
		require.Equal(t, selector.ErrNotFound, err, "without the option there is none")
		_, err = f.selector(Grace(grace / 2)).Select("greeter")
		require.Equal(t, selector.ErrNotFound, err, "each has its own")
	}, Grace(grace))
}

func TestNoGraceByDefault(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		f.del(nodes[:6]...)
		require.Equal(t, ids(nodes[6:]), chosen(t, s, "greeter"))
		require.Empty(t, f.mirror.losses)
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
				f.registry.parts.Load().mirrors.wrote(f.key(n), writing{revision: revision}, nil)
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
	}, Grace(grace))
}

func TestALostNodeThatCantBeReachedIsGivenUp(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		other := f.selector(Grace(grace))
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
	}, Grace(grace))
}

func TestLostVersionsKeepTheirProfile(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		second := some(8)[4:]
		f.put("2", second...)
		f.del(nodes...)
		f.del(second[0])
		v1 := selector.WithFilter(selector.FilterVersion("1"), selector.FilterEndpoint("Greeter.V1"))
		require.Equal(t, ids(nodes), chosen(t, s, "greeter", v1))
		require.Equal(t, append(ids(nodes), ids(second)...), chosen(t, s, "greeter"))
	}, Grace(grace))
}

func TestLossesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := make(losses), catalogue.New()
		var all []catalogue.Change
		for i, spec := range []string{"a@1/1", "a@1/2", "a@1/3", "a@1/4", "a@1/5", "b@1/1", "b@1/2"} {
			all = append(all, c.Put(rec(spec, int64(i+1), "red"))...)
		}
		l.note(all, c, int64(grace))
		require.Empty(t, l)
		l.note(append(c.Delete("a/1"), c.Delete("b/1")...), c, 0)
		require.Empty(t, l, "nobody grants grace")
		l.note(append(c.Delete("a/2"), c.Delete("b/2")...), c, int64(grace))
		l.sweep(grace)
		require.Len(t, l, 2)
		time.Sleep(massTime + time.Second)
		l.sweep(grace)
		require.Empty(t, l, "there was no mass")

		l.note(append(append(c.Delete("a/3"), c.Delete("a/4")...), c.Delete("a/5")...), c, int64(grace))
		l.sweep(grace)
		time.Sleep(grace)
		require.Empty(t, l.of("a", 0, grace))
		l.sweep(grace)
		require.Empty(t, l)
	})
}

// An etcd whose leases all expire deletes the records one by one, and a list after a broken watch
// finds them all gone.
func TestAListMayBringTheMass(t *testing.T) {
	inBubble(t, 6, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		f.mirror.replace(&listing{header: &etcdserverpb.ResponseHeader{ClusterId: 1, Revision: f.revision + 6}}, 0, 0)
		_, err := f.registry.GetService("greeter")
		require.Equal(t, registry.ErrNotFound, err)
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
	}, Grace(grace))
}
