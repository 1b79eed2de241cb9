package etcd

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
)

func testKeys(tb testing.TB) catalog.Keyspace {
	tb.Helper()
	keys, ok := catalog.NewKeyspace(DefaultPrefix)
	require.True(tb, ok)
	return keys
}

func TestServiceNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "\xff", "a\xc3"} {
		require.ErrorIs(t, checkServiceName(name), ErrServiceName, name)
	}
	for _, name := range []string{"a", "...", ".a", "a/b", "/", "a b", "größe", "\x00", "�"} {
		require.NoError(t, checkServiceName(name), name)
	}
}

func TestCheckServiceNamesTheCulprit(t *testing.T) {
	node := func(id string) *registry.Node { return &registry.Node{Id: id} }
	service := func(nodes ...*registry.Node) *registry.Service {
		return &registry.Service{Name: "greeter", Nodes: nodes}
	}
	require.NoError(t, checkService(service(node("a"), node("b"))))
	for _, c := range []struct {
		service *registry.Service
		err     error
		text    string
	}{
		{nil, ErrNilService, "nil"},
		{service(), ErrNoNodes, `"greeter"`},
		{service(node("a"), nil), ErrNilService, `node 1 of service "greeter"`},
		{service(node("a"), node("")), ErrNodeID, `"": node 1 of service "greeter"`},
		{service(node("a\xff")), ErrNodeID, `"a\xff": node 0 of service "greeter"`},
		{service(node("a"), node("b"), node("a")), ErrNodeID, `"a": used twice in service "greeter"`},
		{&registry.Service{Name: "..", Nodes: []*registry.Node{node("a")}}, ErrServiceName, `".."`},
	} {
		err := checkService(c.service)
		require.ErrorIs(t, err, c.err)
		require.ErrorContains(t, err, c.text)
	}
}

func TestRegisterRefusesWhatCouldNotBeDeregistered(t *testing.T) {
	long := strings.Repeat("i", maxNameSize)
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		for name, c := range map[string]struct {
			service, id string
			err         error
		}{
			"fits":             {long, long, nil},
			"a long name":      {long + "i", "n1", ErrServiceName},
			"a long id":        {"greeter", long + "i", ErrNodeID},
			"a long id, UTF-8": {"greeter", strings.Repeat("é", maxNameSize/2) + "é", ErrNodeID},
		} {
			s := &registry.Service{Name: c.service, Nodes: []*registry.Node{{Id: c.id}}}
			err := r.Register(s, registry.RegisterTTL(testTTL))
			require.ErrorIs(t, err, c.err, name)
			if c.err != nil {
				require.ErrorContains(t, err, "more than 16384", name)
				require.Less(t, len(err.Error()), 300, name)
			}
			require.NoError(t, r.Deregister(s), "what others have put there can be removed")
			require.Empty(t, e.truth(c.service), name)
		}
	})
}

// nestedValue returns one that is depth levels deep.
func nestedValue(depth int) *registry.Value {
	v := &registry.Value{}
	for range depth - 1 {
		v = &registry.Value{Values: []*registry.Value{v}}
	}
	return v
}

func serviceOf(v *registry.Value) *registry.Service {
	return &registry.Service{
		Name:      "s",
		Nodes:     []*registry.Node{{Id: "a"}},
		Endpoints: []*registry.Endpoint{nil, {Name: "e", Response: v}},
	}
}

func TestValuesWithinBounds(t *testing.T) {
	s := serviceOf(nestedValue(maxDepth))
	require.NoError(t, checkValues(s))
	require.Equal(t, s.Endpoints[1:], gomicro.Endpoints(gomicro.FromService(s).Endpoints))
}

func TestValuesOutOfBounds(t *testing.T) {
	circle, circles := &registry.Value{}, &registry.Value{}
	circle.Values = []*registry.Value{circle}
	circles.Values = []*registry.Value{circles, circles}
	doubled := &registry.Value{}
	for range 100 { // a hundred values, but 2^100 to whoever writes them down
		doubled = &registry.Value{Values: []*registry.Value{doubled, doubled}}
	}
	for name, v := range map[string]*registry.Value{
		"too deep":            nestedValue(maxDepth + 1),
		"too many":            {Values: slices.Repeat([]*registry.Value{{}}, 1<<20)},
		"a circle":            circle,
		"circles":             circles,
		"doubled at each":     doubled,
		"doubled in a circle": {Values: []*registry.Value{doubled, circle}},
	} {
		require.ErrorContains(t, checkValues(serviceOf(v)), `endpoint "e"`, name)
	}
}

// nested returns a service with values that are depth levels deep.
func nested(depth int) *registry.Service {
	s := greeter(1)
	s.Endpoints = []*registry.Endpoint{{Name: "Greeter.Deep", Request: nestedValue(depth)}}
	return s
}

func TestRegisterRefusesWhatNobodyCouldRead(t *testing.T) {
	circle := nested(1)
	circle.Endpoints[0].Request.Values = []*registry.Value{circle.Endpoints[0].Request}
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		for range 2 {
			for _, bad := range []*registry.Service{nested(maxDepth + 1), circle} {
				err := r.Register(bad, registry.RegisterTTL(testTTL))
				require.ErrorIs(t, err, ErrMalformed)
				require.NotErrorIs(t, err, ErrPending)
				require.ErrorContains(t, err, `endpoint "Greeter.Deep"`)
			}
			mustRegister(t, r, greeter(1), testTTL) // and once more with the record before
		}
		require.True(t, e.has(greeter(1)), "the record before stays")
		require.NoError(t, r.Deregister(circle))
		require.False(t, e.has(greeter(1)))
	})
}
