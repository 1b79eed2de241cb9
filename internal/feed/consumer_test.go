package feed

import (
	"fmt"
	"slices"
	"strings"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// consumer folds changes over a lookup as go-micro's registry cache does (registry/cache/cache.go, update): nodes are
// known by version and id, what comes replaces its version's fields, and a delete concerns exactly its version.
type consumer map[string]*catalog.Service // by name@version

func newConsumer(shown []*catalog.Snapshot) consumer {
	c := make(consumer)
	for _, snapshot := range shown {
		for _, v := range snapshot.Versions {
			c[snapshot.Name+"@"+v.Version] = &catalog.Service{
				Name: snapshot.Name, Version: v.Version, Metadata: v.Profile.Metadata, Endpoints: v.Profile.Endpoints,
				Nodes: v.Nodes,
			}
		}
	}
	return c
}

func (c consumer) fold(change catalog.Change) {
	s, node := change.Record.Service(), change.Record.Node
	s.Metadata, s.Endpoints = change.Profile.Metadata, change.Profile.Endpoints
	key := s.Name + "@" + s.Version
	known := c[key]
	var others []*catalog.Node
	if known != nil {
		others = slices.DeleteFunc(slices.Clone(known.Nodes), func(n *catalog.Node) bool { return n.Id == node.Id })
	}
	switch {
	case change.Action != catalog.Delete:
		s.Nodes = append(s.Nodes, others...)
		c[key] = s
	case known == nil:
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
