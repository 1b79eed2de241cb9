package catalog_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

func TestChangesOfOneKey(t *testing.T) {
	red, blue := profile("red"), profile("blue")
	for _, tt := range []struct {
		rule     string
		steps    []step
		services []string
	}{
		{"the first record of a node creates it", []step{
			put(rec("k", 1, "s@1", "a=:1", red), "create s@1 red: a=:1"),
		}, []string{"s@1 red: a=:1"}},
		{"a node is created in a version that others are in already", []step{
			put(rec("k", 1, "s@1", "a=:1", red), "create s@1 red: a=:1"),
			put(rec("l", 2, "s@1", "b=:2", red), "create s@1 red: b=:2"),
		}, []string{"s@1 red: a=:1, b=:2"}},
		{"a node is created in a second version", []step{
			put(rec("k", 1, "s@2", "a=:1", red), "create s@2 red: a=:1"),
			put(rec("l", 2, "s@1", "b=:2", blue), "create s@1 blue: b=:2"),
		}, []string{"s@1 blue: b=:2", "s@2 red: a=:1"}},
		{"names have nothing to do with each other, even with the same node id", []step{
			put(rec("k", 1, "t@1", "a=:1", red), "create t@1 red: a=:1"),
			put(rec("l", 2, "s@1", "a=:2", blue), "create s@1 blue: a=:2"),
		}, []string{"s@1 blue: a=:2", "t@1 red: a=:1"}},
		{"another address is an update", []step{
			put(rec("k", 1, "s@1", "a=:1", red), "create s@1 red: a=:1"),
			put(rec("k", 2, "s@1", "a=:2", red), "update s@1 red: a=:2"),
		}, []string{"s@1 red: a=:2"}},
		{"another profile is an update", []step{
			put(rec("k", 1, "s@1", "a=:1", red), "create s@1 red: a=:1"),
			put(rec("k", 2, "s@1", "a=:1", blue), "update s@1 blue: a=:1"),
		}, []string{"s@1 blue: a=:1"}},
		{"a put that repeats what was known is an update", []step{
			put(rec("k", 1, "s@1", "a=:1", red), "create s@1 red: a=:1"),
			put(rec("k", 2, "s@1", "a=:1", red), "update s@1 red: a=:1"),
			put(rec("k", 2, "s@1", "a=:1", red), "update s@1 red: a=:1"),
		}, []string{"s@1 red: a=:1"}},
		{"a key's last put counts, whatever its revision", []step{
			put(rec("k", 9, "s@1", "a=:1", red), "create s@1 red: a=:1"),
			put(rec("k", 3, "s@1", "a=:2", blue), "update s@1 blue: a=:2"),
		}, []string{"s@1 blue: a=:2"}},
		{"a delete carries the whole record", []step{
			put(rec("k", 1, "s@1", "a=:1", red), "create s@1 red: a=:1"),
			del("k", "delete s@1 red: a=:1"),
		}, nil},
		{"a delete of one node leaves the others", []step{
			put(rec("k", 1, "s@1", "a=:1", red), "create s@1 red: a=:1"),
			put(rec("l", 2, "s@1", "b=:2", red), "create s@1 red: b=:2"),
			del("k", "delete s@1 red: a=:1"),
		}, []string{"s@1 red: b=:2"}},
		{"a delete of an unknown key is nothing", []step{
			del("k"),
			put(rec("k", 1, "s@1", "a=:1", red), "create s@1 red: a=:1"),
			del("l"),
			del("k", "delete s@1 red: a=:1"),
			del("k"),
		}, nil},
		{"a node that comes back is created again", []step{
			put(rec("k", 1, "s@1", "a=:1", red), "create s@1 red: a=:1"),
			del("k", "delete s@1 red: a=:1"),
			put(rec("k", 3, "s@1", "a=:1", red), "create s@1 red: a=:1"),
		}, []string{"s@1 red: a=:1"}},
	} {
		t.Run(tt.rule, func(t *testing.T) { run(t, tt.steps, tt.services...) })
	}
}

func TestMoves(t *testing.T) {
	red, blue := profile("red"), profile("blue")
	a, b := rec("k", 1, "s@1", "a=:1", red), rec("l", 2, "s@1", "b=:2", red)
	createA, createB := put(a, "create s@1 red: a=:1"), put(b, "create s@1 red: b=:2")
	for _, tt := range []struct {
		rule     string
		steps    []step
		services []string
	}{
		{"a node moves to another version: delete as it was, then update", []step{
			createA,
			put(rec("k", 2, "s@2", "a=:2", blue), "delete s@1 red: a=:1", "update s@2 blue: a=:2"),
		}, []string{"s@2 blue: a=:2"}},
		{"a node moves from one peopled version to another", []step{
			createA, createB,
			put(rec("m", 3, "s@2", "c=:3", blue), "create s@2 blue: c=:3"),
			put(rec("k", 4, "s@2", "a=:1", blue), "delete s@1 red: a=:1", "update s@2 blue: a=:1"),
		}, []string{"s@1 red: b=:2", "s@2 blue: a=:1, c=:3"}},
		{"a key goes over to another node id: delete, then create", []step{
			createA,
			put(rec("k", 2, "s@1", "b=:2", red), "delete s@1 red: a=:1", "create s@1 red: b=:2"),
		}, []string{"s@1 red: b=:2"}},
		{"a key goes over to another name: delete there, then create here", []step{
			createA,
			put(rec("k", 2, "t@1", "a=:1", red), "delete s@1 red: a=:1", "create t@1 red: a=:1"),
		}, []string{"t@1 red: a=:1"}},
		{"a key goes over to a node that is known under another key", []step{
			createA, createB,
			put(rec("k", 3, "s@1", "b=:3", red), "delete s@1 red: a=:1", "update s@1 red: b=:3"),
		}, []string{"s@1 red: b=:3"}},
		{"a key goes over to a node that a newer key holds", []step{
			createA, createB,
			put(rec("k", 1, "s@1", "b=:3", red), "delete s@1 red: a=:1"),
		}, []string{"s@1 red: b=:2"}},
		{"a node moves to another key: delete, then create", []step{
			createA,
			del("k", "delete s@1 red: a=:1"),
			put(rec("m", 3, "s@1", "a=:1", red), "create s@1 red: a=:1"),
		}, []string{"s@1 red: a=:1"}},
		{"a node moves to another key: put, then delete", []step{
			createA,
			put(rec("m", 3, "s@1", "a=:3", red), "update s@1 red: a=:3"),
			del("k"),
		}, []string{"s@1 red: a=:3"}},
		{"a restated move is reported like any other", []step{
			createA,
			restate(rec("k", 1, "s@2", "a=:1", red), "delete s@1 red: a=:1", "update s@2 red: a=:1"),
			restate(rec("k", 1, "t@2", "a=:1", red), "delete s@2 red: a=:1", "create t@2 red: a=:1"),
		}, []string{"t@2 red: a=:1"}},
	} {
		t.Run(tt.rule, func(t *testing.T) { run(t, tt.steps, tt.services...) })
	}
}

func TestRestateReportsOnlyDifferences(t *testing.T) {
	red, blue := profile("red"), profile("blue")
	known := rec("k", 5, "s@1", "a=:1", red)
	metadata := rec("k", 5, "s@1", "a=:1", red)
	metadata.Node.Metadata = map[string]string{"zone": "x"}
	for _, tt := range []struct {
		rule string
		r    *catalog.Record
		want []string
	}{
		{"the same record", known, nil},
		{"a newer record that says the same", rec("k", 9, "s@1", "a=:1", profile("red")), nil},
		{"an older record that says the same", rec("k", 1, "s@1", "a=:1", red), nil},
		{"another address", rec("k", 5, "s@1", "a=:2", red), []string{"update s@1 red: a=:2"}},
		{"other metadata", metadata, []string{"update s@1 red: a=:1map[zone:x]"}},
		{"another profile", rec("k", 5, "s@1", "a=:1", blue), []string{"update s@1 blue: a=:1"}},
		{"an unknown node", rec("l", 6, "s@1", "b=:2", red), []string{"create s@1 red: b=:2"}},
		{"an equal record under a newer key", rec("l", 6, "s@1", "a=:1", profile("red")), nil},
		{"another record under an older key", rec("l", 4, "s@1", "a=:2", blue), nil},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			c := catalog.New()
			c.Put(known)
			require.Equal(t, tt.want, changeStrings(c.Restate(tt.r)))
			require.Same(t, tt.r, c.Record(tt.r.Key), "a restated record is kept, reported or not")
		})
	}
}

func TestRestateKeepsTheNewRevision(t *testing.T) {
	red := profile("red")
	run(t, []step{
		put(rec("k", 1, "s@1", "a=:1", red), "create s@1 red: a=:1"),
		restate(rec("k", 9, "s@1", "a=:1", red)),
		put(rec("l", 5, "s@1", "a=:2", red)),
	}, "s@1 red: a=:1")
}

// Selectors know the nodes that they have ejected by the value.
func TestRestateKeepsWhatSaysTheSame(t *testing.T) {
	c := catalog.New()
	r := rec("k", 8, "s@1", "a=:3", profile("red"))
	c.Put(r)
	again := *r
	node := *r.Node
	again.Node = &node
	require.Empty(t, c.Restate(&again))
	require.Same(t, r, c.Record("k"))
	again.Lease++
	c.Restate(&again)
	require.Same(t, &again, c.Record("k"))
}

func TestRecordsAreKeptByKey(t *testing.T) {
	red := profile("red")
	c := catalog.New()
	a, shadowed := rec("k", 2, "s@1", "a=:1", red), rec("l", 1, "s@1", "a=:2", red)
	c.Put(a)
	c.Put(shadowed)
	require.Equal(t, 2, c.Len())
	require.Same(t, a, c.Record("k"))
	require.Same(t, shadowed, c.Record("l"))
	require.Nil(t, c.Record("m"))
	require.ElementsMatch(t, []*catalog.Record{a, shadowed}, slices.Collect(c.Records))
	for range c.Records {
		break // must not panic
	}
	c.Delete("k")
	require.Nil(t, c.Record("k"))
	require.Equal(t, 1, c.Len())
}
