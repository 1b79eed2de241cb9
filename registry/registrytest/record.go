package registrytest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go-micro.dev/v4/registry"
)

// sample makes a service that uses every field, with the given nodes.
func sample(name, version string, ids ...string) *registry.Service {
	s := &registry.Service{
		Name:     name,
		Version:  version,
		Metadata: map[string]string{"team": "blue", "region": "eu"},
		Endpoints: []*registry.Endpoint{{
			Name:     "Greeter.Hello",
			Metadata: map[string]string{"stream": "false"},
			Request: &registry.Value{Name: "Request", Type: "Request", Values: []*registry.Value{
				{Name: "name", Type: "string"},
				{Name: "address", Type: "Address", Values: []*registry.Value{{Name: "street", Type: "string"}}},
			}},
			Response: &registry.Value{Name: "Response", Type: "Response", Values: []*registry.Value{{Name: "msg", Type: "string"}}},
		}, {
			Name:     "Greeter.Bye",
			Metadata: map[string]string{"stream": "true"},
			Request:  &registry.Value{Name: "Bye", Type: "Bye"},
			Response: &registry.Value{Name: "Gone", Type: "Gone"},
		}},
	}
	for i, id := range ids {
		s.Nodes = append(s.Nodes, node(id, i))
	}
	return s
}

func node(id string, i int) *registry.Node {
	return &registry.Node{
		Id:       id,
		Address:  fmt.Sprintf("10.0.0.%d:8080", i+1),
		Metadata: map[string]string{"protocol": "grpc", "zone": "z" + id},
	}
}

// with returns a copy of s after change.
func with(s *registry.Service, change func(*registry.Service)) *registry.Service {
	c := clone(s)
	change(c)
	return c
}

// only returns a copy of s with one of its nodes.
func only(s *registry.Service, id string) *registry.Service {
	return with(s, func(c *registry.Service) {
		c.Nodes = slices.DeleteFunc(c.Nodes, func(n *registry.Node) bool { return n.Id != id })
	})
}

// bare returns what Go Micro's server tells Deregister: name, version, and
// each node's id and address.
func bare(s *registry.Service) *registry.Service {
	b := &registry.Service{Name: s.Name, Version: s.Version}
	for _, n := range s.Nodes {
		b.Nodes = append(b.Nodes, &registry.Node{Id: n.Id, Address: n.Address})
	}
	return b
}

// clone copies s to its last pointer. Nil parts stay nil.
func clone(s *registry.Service) *registry.Service {
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

// text prints a service with its nodes sorted. Two services are the same if
// their texts are: nil and empty maps, lists and values don't differ.
func text(s *registry.Service) string {
	if s == nil {
		return "a nil service\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s version %q %s\n", s.Name, s.Version, textMap(s.Metadata))
	for _, e := range s.Endpoints {
		if e == nil {
			b.WriteString("  a nil endpoint\n")
			continue
		}
		fmt.Fprintf(&b, "  endpoint %s(%s)(%s) %s\n", e.Name, textValue(e.Request), textValue(e.Response), textMap(e.Metadata))
	}
	lines := make([]string, 0, len(s.Nodes))
	for _, n := range s.Nodes {
		if n == nil {
			lines = append(lines, "  a nil node\n")
			continue
		}
		lines = append(lines, fmt.Sprintf("  node %s at %s %s\n", n.Id, n.Address, textMap(n.Metadata)))
	}
	slices.Sort(lines)
	return b.String() + strings.Join(lines, "")
}

func textMap(m map[string]string) string {
	if len(m) == 0 {
		return "map[]"
	}
	return fmt.Sprint(m) // sorted by key
}

func textValue(v *registry.Value) string {
	if v == nil {
		return " "
	}
	parts := make([]string, len(v.Values))
	for i, sub := range v.Values {
		parts[i] = textValue(sub)
	}
	t := v.Name + " " + v.Type
	if len(parts) > 0 {
		t += "{" + strings.Join(parts, ",") + "}"
	}
	return t
}

// differs says how got is not want, in whatever order they come.
func differs(got, want []*registry.Service) string {
	g, w := textAll(got), textAll(want)
	if g == w {
		return ""
	}
	return fmt.Sprintf("got\n%swant\n%s", g, w)
}

func textAll(services []*registry.Service) string {
	if len(services) == 0 {
		return "nothing\n"
	}
	texts := make([]string, len(services))
	for i, s := range services {
		texts[i] = text(s)
	}
	slices.Sort(texts)
	return strings.Join(texts, "")
}
