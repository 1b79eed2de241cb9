package record

import (
	"maps"
	"slices"

	"go-micro.dev/v4/registry"
)

// With returns a copy of s after change.
func With(s *registry.Service, change func(*registry.Service)) *registry.Service {
	c := Clone(s)
	change(c)
	return c
}

// Only returns a copy of s with one of its nodes.
func Only(s *registry.Service, id string) *registry.Service {
	return With(s, func(c *registry.Service) {
		c.Nodes = slices.DeleteFunc(c.Nodes, func(n *registry.Node) bool { return n.Id != id })
	})
}

// Bare returns what Go Micro's server tells Deregister: name, version, and each node's id and address.
func Bare(s *registry.Service) *registry.Service {
	b := &registry.Service{Name: s.Name, Version: s.Version}
	for _, n := range s.Nodes {
		b.Nodes = append(b.Nodes, &registry.Node{Id: n.Id, Address: n.Address})
	}
	return b
}

// Clone copies s to its last pointer. Nil parts stay nil.
func Clone(s *registry.Service) *registry.Service {
	c := &registry.Service{Name: s.Name, Version: s.Version, Metadata: maps.Clone(s.Metadata)}
	for _, n := range s.Nodes {
		if n != nil {
			n = &registry.Node{Id: n.Id, Address: n.Address, Metadata: maps.Clone(n.Metadata)}
		}
		c.Nodes = append(c.Nodes, n)
	}
	for _, e := range s.Endpoints {
		if e != nil {
			e = &registry.Endpoint{
				Name: e.Name, Metadata: maps.Clone(e.Metadata),
				Request: cloneValue(e.Request), Response: cloneValue(e.Response),
			}
		}
		c.Endpoints = append(c.Endpoints, e)
	}
	return c
}

func cloneValue(v *registry.Value) *registry.Value {
	if v == nil {
		return nil
	}
	c := &registry.Value{Name: v.Name, Type: v.Type}
	for _, sub := range v.Values {
		c.Values = append(c.Values, cloneValue(sub))
	}
	return c
}

// Without returns nodes less those that are gone.
func Without(nodes, gone []*registry.Node) []*registry.Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n *registry.Node) bool {
		return n != nil && slices.ContainsFunc(gone, func(g *registry.Node) bool { return g != nil && g.Id == n.Id })
	})
}

// HasNode tells whether s has a node with that id.
func HasNode(s *registry.Service, id string) bool {
	return slices.ContainsFunc(s.Nodes, func(n *registry.Node) bool { return n != nil && n.Id == id })
}
