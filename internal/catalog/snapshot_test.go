package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

func TestSnapshotsAreSorted(t *testing.T) {
	red := profile("red")
	c := catalog.New()
	for i, s := range []string{"t@2", "s@10", "t@1", "s@2", "s@"} {
		for _, n := range []string{"c", "a", "b/2", "b"} {
			id := s + n
			c.Put(rec(id, int64(i), s, id+"=:1", red))
		}
	}
	var order []string
	for _, s := range c.Snapshots() {
		for _, v := range s.Versions {
			for _, n := range v.Nodes {
				order = append(order, s.Name+"@"+v.Version+" "+n.Id)
			}
		}
	}
	require.Equal(t, []string{
		"s@ s@a", "s@ s@b", "s@ s@b/2", "s@ s@c",
		"s@10 s@10a", "s@10 s@10b", "s@10 s@10b/2", "s@10 s@10c",
		"s@2 s@2a", "s@2 s@2b", "s@2 s@2b/2", "s@2 s@2c",
		"t@1 t@1a", "t@1 t@1b", "t@1 t@1b/2", "t@1 t@1c",
		"t@2 t@2a", "t@2 t@2b", "t@2 t@2b/2", "t@2 t@2c",
	}, order)
}

func TestSnapshotOfNothing(t *testing.T) {
	c := catalog.New()
	require.Nil(t, c.Snapshot("s"))
	require.Empty(t, c.Snapshots())
	c.Put(rec("k", 1, "s@1", "a=:1", profile("red")))
	c.Delete("k")
	require.Nil(t, c.Snapshot("s"))
	require.Empty(t, c.Snapshots())
}

func TestSnapshotIsCachedUntilTheNextChange(t *testing.T) {
	red := profile("red")
	c := catalog.New()
	c.Put(rec("k", 5, "s@1", "a=:1", red))
	first := c.Snapshot("s")
	require.Same(t, first, c.Snapshot("s"))
	require.Same(t, first, c.Snapshots()[0])

	c.Put(rec("l", 6, "t@1", "a=:1", red))
	require.Same(t, first, c.Snapshot("s"), "a change of another service")
	c.Put(rec("m", 1, "s@1", "a=:0", red))
	c.Delete("m")
	require.Same(t, first, c.Snapshot("s"), "a record that doesn't count")
	c.Delete("unknown")
	require.Same(t, first, c.Snapshot("s"), "a key that isn't there")

	for _, change := range []func(){
		func() { c.Put(rec("k", 7, "s@1", "a=:2", red)) },
		func() { c.Restate(rec("k", 8, "s@1", "a=:3", red)) },
		func() { c.Put(rec("n", 9, "s@1", "b=:1", red)) },
		func() { c.Delete("n") },
	} {
		before := c.Snapshot("s")
		change()
		require.NotSame(t, before, c.Snapshot("s"))
		first := c.Snapshot("s")
		require.Same(t, first, c.Snapshot("s"))
	}
}

func TestSnapshotNeverChanges(t *testing.T) {
	red, blue := profile("red"), profile("blue")
	c := catalog.New()
	c.Put(rec("k", 1, "s@1", "a=:1", red))
	c.Put(rec("l", 2, "s@1", "b=:2", red))
	s := c.Snapshot("s")
	c.Put(rec("k", 3, "s@1", "a=:9", blue))
	c.Put(rec("m", 4, "s@1", "aa=:9", blue))
	c.Delete("l")
	require.Len(t, services(s), 1)
	require.Equal(t, "s@1 red: a=:1, b=:2", serviceString(services(s)[0]))
}
