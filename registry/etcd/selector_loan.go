package etcd

import (
	"slices"

	"go-micro.dev/v4/registry"
)

// loan is a copy of a choice's slices of nodes, by version, for filters, which may change what they are given. To
// copy a thousand nodes takes longer than most filters do, so a copy that comes back as it was is lent
// again. The services around the slices are new each time.
type loan struct{ nodes [][]*registry.Node }

// lend returns services that may be changed, and the loan that they are made with.
func (c *choice) lend() ([]*registry.Service, *loan) {
	services := c.shown.Shared()
	l, again := c.loans.Get().(*loan)
	if !again {
		l = &loan{make([][]*registry.Node, len(services))}
	}
	for i, s := range services {
		if !again {
			l.nodes[i] = slices.Clone(s.Nodes)
		}
		s.Nodes = l.nodes[i]
	}
	return services, l
}

// settle returns the nodes of the services that filters have left of a loan. Where those are
// all nodes of a version, it returns the shared ones. If nothing of the loan is in use then, it can be lent again.
func (c *choice) settle(l *loan, left []*registry.Service) []*registry.Node {
	returned := c.unchanged(l)
	parts := make([][]*registry.Node, len(left))
	for i, s := range left {
		parts[i] = s.Nodes
		v := slices.IndexFunc(l.nodes, func(lent []*registry.Node) bool { return sameSlice(lent, s.Nodes) })
		if returned = returned && v >= 0; returned {
			parts[i] = c.shown.Versions[v].Nodes
		}
	}
	if returned {
		c.loans.Put(l)
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return slices.Concat(parts...)
}

func (c *choice) unchanged(l *loan) bool {
	for i, v := range c.shown.Versions {
		if !slices.Equal(l.nodes[i], v.Nodes) {
			return false
		}
	}
	return true
}

func sameSlice(a, b []*registry.Node) bool {
	return len(a) == len(b) && len(a) > 0 && &a[0] == &b[0]
}
