package catalogue_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// nested returns a value that is depth levels deep.
func nested(depth int) *registry.Value {
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
	s := serviceOf(nested(catalogue.MaxDepth))
	require.NoError(t, catalogue.CheckValues(s))
	r := catalogue.NewRecord("k", s, s.Nodes[0])
	require.Equal(t, s.Endpoints[1:], r.Service().Endpoints)
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
		"too deep":            nested(catalogue.MaxDepth + 1),
		"too many":            {Values: slices.Repeat([]*registry.Value{{}}, 1<<20)},
		"a circle":            circle,
		"circles":             circles,
		"doubled at each":     doubled,
		"doubled in a circle": {Values: []*registry.Value{doubled, circle}},
	} {
		require.ErrorContains(t, catalogue.CheckValues(serviceOf(v)), `endpoint "e"`, name)
	}
}

// Who registers the same again is compared with the record before anything else is done.
func TestComparingWithACircleEnds(t *testing.T) {
	circles := &registry.Value{}
	circles.Values = []*registry.Value{circles}
	good := serviceOf(nested(catalogue.MaxDepth))
	r := catalogue.NewRecord("k", good, good.Nodes[0])
	require.False(t, r.Describes(serviceOf(circles), good.Nodes[0]))
}
