package etcd

import (
	"fmt"
	"slices"
	"strings"

	"go-micro.dev/v4/registry"
)

// consumer folds results over a lookup as go-micro's registry cache does (registry/cache/cache.go, update): nodes are
// known by version and id, what comes replaces its version's fields, and a delete concerns exactly its version.
type consumer map[string]*registry.Service // by name@version

func (c consumer) fold(r *registry.Result) {
	key, node := r.Service.Name+"@"+r.Service.Version, r.Service.Nodes[0]
	known := c[key]
	var others []*registry.Node
	if known != nil {
		others = slices.DeleteFunc(slices.Clone(known.Nodes), func(n *registry.Node) bool { return n.Id == node.Id })
	}
	switch {
	case r.Action == "create" || r.Action == "update":
		r.Service.Nodes = append(r.Service.Nodes, others...)
		c[key] = r.Service
	case r.Action != "delete" || known == nil:
	case len(others) > 0:
		known.Nodes = others
	default:
		delete(c, key)
	}
}

// lines describe each service version with its nodes, in order.
func (c consumer) lines() []string {
	var lines []string
	for _, s := range c {
		var nodes []string
		for _, n := range s.Nodes {
			nodes = append(nodes, fmt.Sprint(n.Id, "=", n.Address, n.Metadata))
		}
		slices.Sort(nodes)
		line := fmt.Sprint(s.Name, "@", s.Version, s.Metadata)
		for _, e := range s.Endpoints {
			line += " " + e.Name
		}
		lines = append(lines, line+": "+strings.Join(nodes, ", "))
	}
	slices.Sort(lines)
	return lines
}
