package check

import (
	"maps"
	"slices"

	"go-micro.dev/v4/registry"
)

// fold is a lookup, kept up to date by a watcher's results in the way of go-micro's cache.
type fold map[string]*registry.Service // by version

func newFold(services []*registry.Service) fold {
	f := fold{}
	for _, s := range services {
		f[s.Version] = s
	}
	return f
}

func (f fold) apply(action string, s *registry.Service) {
	known := f[s.Version]
	if known == nil && action == "delete" {
		return
	}
	var nodes []*registry.Node
	if known != nil {
		nodes = slices.DeleteFunc(slices.Clone(known.Nodes), func(n *registry.Node) bool {
			return slices.ContainsFunc(s.Nodes, func(o *registry.Node) bool { return o.Id == n.Id })
		})
	}
	now := s
	if action == "delete" {
		now = known
	} else {
		nodes = append(nodes, s.Nodes...)
	}
	if len(nodes) == 0 {
		delete(f, s.Version)
		return
	}
	folded := *now
	folded.Nodes = nodes
	f[s.Version] = &folded
}

func (f fold) services() []*registry.Service { return slices.Collect(maps.Values(f)) }
