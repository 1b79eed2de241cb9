package catalogue_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

func TestSnapshotsAreSorted(t *testing.T) {
	red := profile("red")
	c := catalogue.New()
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
	c := catalogue.New()
	require.Nil(t, c.Snapshot("s"))
	require.Empty(t, c.Snapshots())
	require.Nil(t, c.Snapshot("s").Services(), "a nil snapshot has no services")
	c.Put(rec("k", 1, "s@1", "a=:1", profile("red")))
	c.Delete("k")
	require.Nil(t, c.Snapshot("s"))
	require.Empty(t, c.Snapshots())
}

func TestSnapshotIsCachedUntilTheNextChange(t *testing.T) {
	red := profile("red")
	c := catalogue.New()
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
	c := catalogue.New()
	c.Put(rec("k", 1, "s@1", "a=:1", red))
	c.Put(rec("l", 2, "s@1", "b=:2", red))
	s := c.Snapshot("s")
	c.Put(rec("k", 3, "s@1", "a=:9", blue))
	c.Put(rec("m", 4, "s@1", "aa=:9", blue))
	c.Delete("l")
	require.Len(t, s.Services(), 1)
	require.Equal(t, "s@1 red: a=:1, b=:2", serviceString(s.Services()[0]))
}

// vandalise changes whatever can be reached from a service.
func vandalise(s *registry.Service) {
	s.Name, s.Version = "x", "x"
	scrawl(s.Metadata)
	for _, n := range s.Nodes {
		n.Id, n.Address = "x", "x"
		scrawl(n.Metadata)
	}
	for _, e := range s.Endpoints {
		e.Name = "x"
		scrawl(e.Metadata)
		deface(e.Request)
		deface(e.Response)
	}
	clear(s.Nodes)
	clear(s.Endpoints)
}

func scrawl(m map[string]string) {
	clear(m)
	m["x"] = "x"
}

func deface(v *registry.Value) {
	v.Name, v.Type = "x", "x"
	for _, inner := range v.Values {
		deface(inner)
	}
	clear(v.Values)
}

func TestWhatIsHandedOutBelongsToTheCaller(t *testing.T) {
	c := catalogue.New()
	r := rec("k", 1, "s@1", "a=:1", profile("red"))
	changes := c.Put(r)
	changes = append(changes, c.Put(rec("l", 2, "s@1", "b=:2", r.Profile))...)
	for what, services := range map[string]func() []*registry.Service{
		"Snapshot.Services": c.Snapshot("s").Services,
		"Record.Service":    func() []*registry.Service { return []*registry.Service{r.Service()} },
		"Change.Result": func() []*registry.Service {
			return []*registry.Service{changes[0].Result().Service, changes[1].Result().Service}
		},
	} {
		t.Run(what, func(t *testing.T) {
			want := make([]string, 0, 2)
			for _, s := range services() {
				want = append(want, serviceString(s))
				vandalise(s)
			}
			for i, s := range services() {
				require.Equal(t, want[i], serviceString(s))
			}
			require.Equal(t, []string{"s@1 red: a=:1, b=:2"}, snapshotStrings(c))
			require.True(t, r.Equal(rec("k", 1, "s@1", "a=:1", profile("red"))))
		})
	}
}

// Consumers append to what they got; that must not show in a neighbour's nodes.
func TestAppendedNodesStayWithTheCaller(t *testing.T) {
	c := catalogue.New()
	c.Put(rec("k", 1, "s@1", "a=:1", profile("red")))
	c.Put(rec("l", 2, "s@2", "b=:2", profile("red")))
	services := c.Snapshot("s").Services()
	services[0].Nodes = append(services[0].Nodes, &registry.Node{Id: "x"})
	require.Equal(t, "s@2 red: b=:2", serviceString(services[1]))
}

func TestNilStaysNil(t *testing.T) {
	bare := &catalogue.Record{Key: "k", Name: "s", Profile: &catalogue.Profile{}, Node: &registry.Node{Id: "a"}}
	inner := &catalogue.Record{Key: "l", Name: "t", Node: &registry.Node{Id: "a"}, Profile: &catalogue.Profile{
		Endpoints: []*registry.Endpoint{{Name: "e", Response: &registry.Value{Name: "r"}}},
	}}
	empty := &catalogue.Record{
		Key: "m", Name: "u", Node: &registry.Node{Id: "a", Metadata: map[string]string{}},
		Profile: &catalogue.Profile{
			Metadata: map[string]string{},
			Endpoints: []*registry.Endpoint{{
				Metadata: map[string]string{}, Request: &registry.Value{Values: []*registry.Value{}},
			}},
		},
	}
	c := catalogue.New()
	for _, r := range []*catalogue.Record{bare, inner, empty} {
		want := &registry.Service{
			Name: r.Name, Metadata: r.Profile.Metadata, Endpoints: r.Profile.Endpoints, Nodes: []*registry.Node{r.Node},
		}
		changes := c.Put(r)
		// require.Equal tells nil from empty.
		require.Equal(t, want, changes[0].Result().Service)
		require.Equal(t, want, r.Service())
		require.Equal(t, []*registry.Service{want}, c.Snapshot(r.Name).Services())
	}
}
