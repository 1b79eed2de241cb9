package etcd

import (
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

func weigh(nodes []*registry.Node, weights ...string) {
	for i, w := range weights {
		nodes[i].Metadata[WeightKey] = w
	}
}

func TestWeightedPicksInProportion(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(5)
	weigh(nodes, "3", "0.5", "0", "heavy")
	f.put("1", nodes...) // the fourth and the fifth weigh 1
	const picks = 11_000
	for name, c := range map[string]struct {
		strategy selector.Strategy
		delta    float64
	}{"random": {selector.Random, 400}, "rotating": {selector.RoundRobin, 8}} {
		counts := tally(t, picks, f.selector(Weighted(), selector.SetStrategy(c.strategy)), "greeter")
		for i, share := range []float64{6, 1, 0, 2, 2} {
			require.InDelta(t, share*picks/11, counts[nodes[i].Id], c.delta, "%s: node %d", name, i)
		}
		require.NotContains(t, counts, nodes[2].Id)
	}
}

// NewSelector can't return an error. Whoever selects learns of it.
func TestANilOptionOfASelectorIsAnErrorUntilInitMendsIt(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(1)
	f.put("1", nodes...)
	s := NewSelector(nil, selector.Registry(f.registry))
	_, err := s.Select("greeter")
	require.ErrorIs(t, err, ErrOption)
	require.ErrorIs(t, s.Init(selector.SetStrategy(selector.RoundRobin), nil), ErrOption)
	_, err = s.Select("greeter")
	require.ErrorIs(t, err, ErrOption, "an Init with an error changes nothing")
	require.NoError(t, s.Init())
	require.Equal(t, nodes[0].Id, pick(t, s, "greeter").Id)
}

func TestANilOptionOrFilterOfASelectIsAnError(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(1)
	f.put("1", nodes...)
	for name, r := range map[string]registry.Registry{"ours": f.registry, "another": registry.NewMemoryRegistry()} {
		s := NewSelector(selector.Registry(r))
		for what, opt := range map[string]selector.SelectOption{"an option": nil, "a filter": selector.WithFilter(nil)} {
			_, err := s.Select("greeter", opt)
			require.ErrorIs(t, err, ErrOption, name)
			require.EqualError(t, err, `select "greeter": invalid option: `+what+` is nil`)
		}
		require.NoError(t, s.Close())
	}
}

func TestAWeightedRotationIsSpread(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(3)
	weigh(nodes, "2")
	f.put("1", nodes...)
	s := f.selector(Weighted(), selector.SetStrategy(selector.RoundRobin))
	var last string
	inARow := 0
	for range 200 {
		id := pick(t, s, "greeter").Id
		if id != last {
			last, inARow = id, 0
		}
		inARow++
		require.LessOrEqual(t, inARow, 2)
	}
}

func TestWeightsThatSayNothing(t *testing.T) {
	for _, weights := range [][]string{
		{"0", "0", "0"}, {"-1", "NaN", "+Inf"}, {"1e9", "", "1,5"}, {"1000000", "1e6", "999999.9"},
	} {
		f, nodes := stage(t, "greeter"), some(3)
		weigh(nodes, weights...)
		f.put("1", nodes...)
		require.Equal(t, ids(nodes), chosen(t, f.selector(Weighted()), "greeter"), "%q", weights)
	}
}

func TestWeightsAreIgnoredUnlessAskedFor(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(3)
	weigh(nodes, "0", "0", "1")
	f.put("1", nodes...)
	require.Equal(t, ids(nodes), chosen(t, f.selector(), "greeter"))
}

func TestPreferZone(t *testing.T) {
	inBubble(t, 9, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		for i, n := range nodes {
			n.Metadata[ZoneKey] = []string{"here", "there", ""}[i%3]
		}
		f.put("1", nodes...)
		here := []*registry.Node{nodes[0], nodes[3], nodes[6]}
		require.Equal(t, ids(here), chosen(t, s, "greeter"))
		require.Equal(t, ids(here), chosen(t, s, "greeter", selector.WithStrategy(selector.RoundRobin)))
		require.Equal(
			t, []string{nodes[3].Id}, chosen(t, s, "greeter", selector.WithFilter(selector.FilterLabel("parity", "odd"))),
		)
		require.Equal(
			t, ids([]*registry.Node{nodes[1], nodes[4], nodes[7]}), chosen(t, f.selector(PreferZone("there")), "greeter"),
		)
		require.Equal(t, ids(nodes), chosen(t, f.selector(PreferZone("nowhere")), "greeter"))
		require.Equal(t, ids(nodes), chosen(t, f.selector(PreferZone("")), "greeter"))

		s.Mark("greeter", nodes[0], errRefused)
		s.Mark("greeter", nodes[3], errRefused)
		require.Equal(t, ids(here[2:]), chosen(t, s, "greeter"))
		s.Mark("greeter", nodes[6], errRefused)
		rest := slices.DeleteFunc(slices.Clone(nodes), func(n *registry.Node) bool { return slices.Contains(here, n) })
		require.Equal(t, ids(rest), chosen(t, s, "greeter"), "none is left here")
		f.put("1", nodes[0])
		require.Equal(t, ids(here[:1]), chosen(t, s, "greeter"))
	}, PreferZone("here"))
}

func TestOptionsAreKeptByInitAndTheLastOneCounts(t *testing.T) {
	f, nodes := stage(t, "greeter"), some(4)
	for i, n := range nodes {
		n.Metadata[ZoneKey] = strconv.Itoa(i)
	}
	f.put("1", nodes...)
	s := f.selector(PreferZone("1"), PreferZone("2"), Weighted(), Grace(grace))
	require.NoError(t, s.Init())
	require.Equal(t, []string{nodes[2].Id}, chosen(t, s, "greeter"))
	require.NoError(t, s.Init(PreferZone("3")))
	require.Equal(t, []string{nodes[3].Id}, chosen(t, s, "greeter"))
	st := s.state.Load()
	require.True(t, st.policy.Weighted)
	require.Equal(t, grace, st.grace)
}
