package picker

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// nodes returns n nodes; those of an even number are in zone a.
func nodes(n int) []*catalog.Node {
	all := make([]*catalog.Node, n)
	for i := range all {
		all[i] = &catalog.Node{Id: fmt.Sprint(i), Metadata: map[string]string{ZoneKey: string(rune('a' + i%2))}}
	}
	return all
}

// outliers returns the nodes as outliers that were ejected at 0.
func outliers(nodes ...*catalog.Node) map[string]*Outlier {
	all := make(map[string]*Outlier)
	for _, n := range nodes {
		all[n.Id] = &Outlier{Node: n}
		all[n.Id].Fail(true, 0)
	}
	return all
}

// picked returns the ids that come up in many picks at a time.
func picked(p Policy, nodes []*catalog.Node, outliers map[string]*Outlier, now int64) []string {
	k := New(p, nodes, outliers, func(n *catalog.Node) *catalog.Node { return n })
	found := make(map[string]bool)
	for _, turn := range []*atomic.Uint64{nil, new(atomic.Uint64)} {
		for range 200 {
			if n, ok := k.Pick(func() int64 { return now }, turn); ok {
				found[n.Id] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func TestPick(t *testing.T) {
	eight := nodes(8)
	light := &catalog.Node{Id: "light", Metadata: map[string]string{WeightKey: "0", ZoneKey: "z"}}
	for name, c := range map[string]struct {
		policy   Policy
		nodes    []*catalog.Node
		outliers map[string]*Outlier
		want     []string
	}{
		"none": {want: nil},
		"all":  {nodes: eight, want: []string{"0", "1", "2", "3", "4", "5", "6", "7"}},
		"an ejected one": {
			nodes: eight, outliers: outliers(eight[3]), want: []string{"0", "1", "2", "4", "5", "6", "7"},
		},
		"a quarter is left": {nodes: eight, outliers: outliers(eight[2:]...), want: []string{"0", "1"}},
		"panic": {
			nodes: eight, outliers: outliers(eight[1:]...), want: []string{"0", "1", "2", "3", "4", "5", "6", "7"},
		},
		"a zone": {policy: Policy{Zone: "a"}, nodes: eight, want: []string{"0", "2", "4", "6"}},
		"a zone with outliers": {
			policy: Policy{Zone: "a"}, nodes: eight, outliers: outliers(eight[0], eight[1]), want: []string{"2", "4", "6"},
		},
		"a zone of outliers": {policy: Policy{Zone: "a"}, nodes: eight, outliers: outliers(
			eight[0], eight[2], eight[4], eight[6],
		), want: []string{"1", "3", "5", "7"}},
		"a zone without nodes": {policy: Policy{Zone: "c"}, nodes: eight[:2], want: []string{"0", "1"}},
		"a weight of 0": {
			policy: Policy{Weighted: true}, nodes: []*catalog.Node{eight[0], light}, want: []string{"0"},
		},
		"a weight of 0 beside an outlier": {
			policy: Policy{Weighted: true}, nodes: []*catalog.Node{eight[0], light}, outliers: outliers(eight[0]),
			want: []string{"0"},
		},
		"a weight of 0 in the zone": {
			policy: Policy{Weighted: true, Zone: "z"}, nodes: []*catalog.Node{eight[0], light}, want: []string{"0"},
		},
		"nothing but weight 0": {policy: Policy{Weighted: true}, nodes: []*catalog.Node{light}, want: []string{"light"}},
		"another node of that id": {
			nodes: eight[:2], outliers: outliers(&catalog.Node{Id: "0", Address: "x"}), want: []string{"0", "1"},
		},
	} {
		require.Equal(t, c.want, picked(c.policy, c.nodes, c.outliers, 1), name)
	}
}

func TestAnOutlierIsProbedOnceWhenItsEjectionIsOver(t *testing.T) {
	four := nodes(4)
	k := New(Policy{}, four, outliers(four[0]), func(n *catalog.Node) *catalog.Node { return n })
	now := int64(minEjection) + 1
	probes := 0
	for range 100 {
		if n, _ := k.Pick(func() int64 { return now }, nil); n == four[0] {
			probes++
		}
	}
	require.Equal(t, 1, probes)
	k.Outliers["0"].Fail(true, now)
	n, _ := k.Pick(func() int64 { return now + int64(minEjection)/2 }, nil)
	require.NotEqual(t, four[0], n, "it is ejected for twice as long")
}

func TestAnOutlierOfWeight0IsNotProbed(t *testing.T) {
	two := nodes(2)
	two[1].Metadata[WeightKey] = "0"
	require.Equal(t, []string{"0"}, picked(Policy{Weighted: true}, two, outliers(two[1]), int64(minEjection)+1))
}

func TestUnansweredCallsEjectTheSecondTime(t *testing.T) {
	o := &Outlier{Node: nodes(1)[0]}
	require.False(t, o.Fail(false, 0))
	require.False(t, o.IsEjected())
	require.True(t, o.Fail(false, 0))
	require.True(t, o.IsEjected())
	require.False(t, o.Fail(true, 0), "a call that was under way")
}
