package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

func nodeIDs(nodes []*catalog.Node) []string {
	var ids []string
	for _, n := range nodes {
		ids = append(ids, n.Id)
	}
	return ids
}

func TestNodesAreThoseOfAllVersionsInOrder(t *testing.T) {
	c := catalog.New()
	require.Nil(t, c.Snapshot("s").Nodes())
	for i, spec := range []string{"2/d", "1/b", "1/c", "2/a"} {
		c.Put(rec(spec, int64(i+1), "s@"+spec[:1], spec[2:]+"=:1", profile("red")))
	}
	require.Equal(t, []string{"b", "c", "a", "d"}, nodeIDs(c.Snapshot("s").Nodes()))
	c.Delete("2/d")
	c.Delete("2/a")
	one := c.Snapshot("s")
	require.Same(t, &one.Versions[0].Nodes[0], &one.Nodes()[0], "one version's aren't copied")
}

func TestWithAddsRecords(t *testing.T) {
	red, blue := profile("red"), profile("blue")
	c := catalog.New()
	all := map[string]*catalog.Record{}
	for i, spec := range []string{"1/a", "1/c", "2/b", "3/d", "0/e"} {
		all[spec] = rec(spec, int64(i+1), "s@"+spec[:1], spec[2:]+"=:1", red)
	}
	moved := rec("moved", 9, "s@7", "a=:1", blue)
	c.Put(all["1/c"])
	c.Put(all["2/b"])
	before := c.Snapshot("s")
	require.Same(t, before, before.With(nil))
	require.Same(t, before, before.With([]*catalog.Record{all["1/c"]}), "it is there already")

	more := before.With([]*catalog.Record{all["3/d"], all["1/a"], moved, all["0/e"]})
	require.Equal(t, "s", more.Name)
	require.Equal(t, []string{"e", "a", "c", "b", "d", "a"}, nodeIDs(more.Nodes()), "sorted by version and id")
	require.Equal(t, []string{"c", "b"}, nodeIDs(before.Nodes()), "the snapshot itself never changes")
	for _, r := range all {
		c.Put(r)
	}
	require.Equal(t, services(c.Snapshot("s")), services(more)[:4])
	require.Equal(t, blue, more.Versions[4].Profile)
}

func TestWithMayBeginWithNothing(t *testing.T) {
	c := catalog.New()
	r := rec("k", 1, "s@1", "a=:1", profile("red"))
	nothing := c.Snapshot("s")
	require.Nil(t, nothing.With(nil))
	c.Put(r)
	require.Equal(t, c.Snapshot("s"), nothing.With([]*catalog.Record{r}))
}
