package record

import (
	"cmp"
	"slices"
	"strings"

	"go-micro.dev/v4/registry"
)

// View is a set of services, by name and version.
type View map[[2]string]*registry.Service

// Reset makes services all there is.
func (v View) Reset(services []*registry.Service) {
	clear(v)
	for _, s := range services {
		if s != nil {
			v[[2]string{s.Name, s.Version}] = Clone(s)
		}
	}
}

// Apply folds one result in as Go Micro's registry cache does: create and update put nodes into their version and
// replace what the version says about itself, delete takes nodes out of that version and no other.
func (v View) Apply(r *registry.Result) {
	key := [2]string{r.Service.Name, r.Service.Version}
	known := v[key]
	if r.Action == "delete" {
		if known == nil {
			return
		}
		known.Nodes = Without(known.Nodes, r.Service.Nodes)
		if len(known.Nodes) == 0 {
			delete(v, key)
		}
		return
	}
	fresh := Clone(r.Service)
	if known != nil {
		fresh.Nodes = append(Without(known.Nodes, fresh.Nodes), fresh.Nodes...)
	}
	v[key] = fresh
}

// Services returns what the view holds, sorted.
func (v View) Services() []*registry.Service {
	all := make([]*registry.Service, 0, len(v))
	for _, s := range v {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *registry.Service) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version))
	})
	return all
}
