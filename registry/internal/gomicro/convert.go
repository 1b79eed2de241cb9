// Package gomicro turns the catalog's types into go-micro's and back, for the registries of this module.
package gomicro

import (
	"maps"
	"slices"
	"unicode/utf8"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// A pointer to a node can be converted as it is.

// FromService copies a service of a caller's. It leaves out nil endpoints and values, which go-micro's own copying
// panics on. The service must have passed checkValues: values that hold themselves have no copy.
func FromService(s *registry.Service) *catalog.Service {
	c := &catalog.Service{Name: s.Name, Version: text(s.Version), Metadata: fromMap(s.Metadata)}
	for _, n := range s.Nodes {
		c.Nodes = append(c.Nodes, &catalog.Node{Id: n.Id, Address: text(n.Address), Metadata: fromMap(n.Metadata)})
	}
	if s.Endpoints != nil {
		c.Endpoints = make([]*catalog.Endpoint, 0, len(s.Endpoints))
	}
	for _, e := range s.Endpoints {
		if e != nil {
			c.Endpoints = append(c.Endpoints, &catalog.Endpoint{
				Name: text(e.Name), Request: fromValue(e.Request), Response: fromValue(e.Response), Metadata: fromMap(e.Metadata),
			})
		}
	}
	return c
}

func fromValue(v *registry.Value) *catalog.Value {
	if v == nil {
		return nil
	}
	c := &catalog.Value{Name: text(v.Name), Type: text(v.Type)}
	if v.Values != nil {
		c.Values = make([]*catalog.Value, 0, len(v.Values))
	}
	for _, inner := range v.Values {
		if inner != nil {
			c.Values = append(c.Values, fromValue(inner))
		}
	}
	return c
}

// text returns a string as JSON keeps it: what isn't UTF-8 becomes U+FFFD byte by byte.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

func fromMap(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	c := make(map[string]string, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) { // of keys that become one, always the same counts
		c[text(k)] = text(m[k])
	}
	return c
}

// Services returns one service per version. The result belongs to the caller, down to its maps. It is nil for a
// service without nodes.
func Services(s *catalog.Snapshot) []*registry.Service {
	if s == nil {
		return nil
	}
	services := make([]*registry.Service, len(s.Versions))
	for i, v := range s.Versions {
		services[i] = Service(s.Name, v.Version, v.Profile, CopyNodes(v.Nodes))
	}
	return services
}

// CopyNodes copies into one slab, because a big service is copied at every lookup.
func CopyNodes(nodes []*catalog.Node) []*registry.Node {
	slab := make([]registry.Node, len(nodes))
	copies := make([]*registry.Node, len(nodes))
	for i, n := range nodes {
		slab[i] = registry.Node{Id: n.Id, Address: n.Address, Metadata: maps.Clone(n.Metadata)}
		copies[i] = &slab[i]
	}
	return copies
}

// Result returns a change in the shape that go-micro's watchers have: the service with exactly one node. The result
// belongs to the caller.
func Result(c catalog.Change) *registry.Result {
	nodes := CopyNodes([]*catalog.Node{c.Record.Node})
	return &registry.Result{
		Action: string(c.Action), Service: Service(c.Record.Name, c.Record.Version, c.Profile, nodes),
	}
}

// Service returns a version of a service with nodes. All but the nodes is copied.
func Service(name, version string, p *catalog.Profile, nodes []*registry.Node) *registry.Service {
	return &registry.Service{
		Name: name, Version: version, Metadata: maps.Clone(p.Metadata), Endpoints: Endpoints(p.Endpoints), Nodes: nodes,
	}
}

// Endpoints copies.
func Endpoints(endpoints []*catalog.Endpoint) []*registry.Endpoint {
	if endpoints == nil {
		return nil
	}
	copies := make([]*registry.Endpoint, len(endpoints))
	for i, e := range endpoints {
		copies[i] = &registry.Endpoint{
			Name: e.Name, Request: toValue(e.Request), Response: toValue(e.Response), Metadata: maps.Clone(e.Metadata),
		}
	}
	return copies
}

func toValue(v *catalog.Value) *registry.Value {
	if v == nil {
		return nil
	}
	c := &registry.Value{Name: v.Name, Type: v.Type}
	if v.Values == nil {
		return c
	}
	c.Values = make([]*registry.Value, len(v.Values))
	for i, inner := range v.Values {
		c.Values[i] = toValue(inner)
	}
	return c
}

// ShareNodes returns nodes as go-micro's, without copying them.
func ShareNodes(nodes []*catalog.Node) []*registry.Node {
	shared := make([]*registry.Node, len(nodes))
	for i, n := range nodes {
		shared[i] = (*registry.Node)(n)
	}
	return shared
}
