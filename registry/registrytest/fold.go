package registrytest

import (
	"slices"
	"strings"

	"go-micro.dev/v4/registry"
)

// view is a set of services, by name and version.
type view map[[2]string]*registry.Service

// reset makes services all there is.
func (v view) reset(services []*registry.Service) {
	clear(v)
	for _, s := range services {
		if s != nil {
			v[[2]string{s.Name, s.Version}] = clone(s)
		}
	}
}

// apply folds one result in as Go Micro's registry cache does: create and
// update put nodes into their version and replace what the version says about
// itself, delete takes nodes out of that version and no other.
func (v view) apply(r *registry.Result) {
	key := [2]string{r.Service.Name, r.Service.Version}
	known := v[key]
	if r.Action == "delete" {
		if known == nil {
			return
		}
		known.Nodes = without(known.Nodes, r.Service.Nodes)
		if len(known.Nodes) == 0 {
			delete(v, key)
		}
		return
	}
	fresh := clone(r.Service)
	if known != nil {
		fresh.Nodes = append(without(known.Nodes, fresh.Nodes), fresh.Nodes...)
	}
	v[key] = fresh
}

// services returns what the view holds, sorted.
func (v view) services() []*registry.Service {
	all := make([]*registry.Service, 0, len(v))
	for _, s := range v {
		all = append(all, s)
	}
	slices.SortFunc(all, byNameAndVersion)
	return all
}

func byNameAndVersion(a, b *registry.Service) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return strings.Compare(a.Version, b.Version)
}

func without(nodes, gone []*registry.Node) []*registry.Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n *registry.Node) bool {
		return n != nil && slices.ContainsFunc(gone, func(g *registry.Node) bool { return g != nil && g.Id == n.Id })
	})
}

func hasNode(s *registry.Service, id string) bool {
	return slices.ContainsFunc(s.Nodes, func(n *registry.Node) bool { return n != nil && n.Id == id })
}
