package etcd

import (
	"reflect"
	"slices"
	"sync"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/picker"
)

// policy is how to pick among nodes that are all right.
type policy struct {
	picker.Policy
	strategy selector.Strategy // the user's own; nil for go-micro's two, which are built in
	rotates  bool
}

func newPolicy(o selector.Options) policy {
	var t policy
	t.Weighted, _ = value[bool](o.Context, weightedOption{})
	t.Zone, _ = value[string](o.Context, zoneOption{})
	return t.with(o.Strategy)
}

var (
	codeOfRandom     = codeOf(selector.Random)
	codeOfRoundRobin = codeOf(selector.RoundRobin)
)

// codeOf tells functions apart, which Go can't compare.
func codeOf(s selector.Strategy) uintptr { return reflect.ValueOf(s).Pointer() }

func (t policy) with(s selector.Strategy) policy {
	t.strategy, t.rotates = nil, false
	switch codeOf(s) {
	case codeOfRandom:
	case codeOfRoundRobin:
		t.rotates = true
	default:
		t.strategy = s
	}
	return t
}

// choice is what there is of a service at one moment, and what may be picked of that. It doesn't change, but for due and
// the times of its outliers.
type choice struct {
	*picker.Picker[*registry.Node]

	snapshot *catalog.Snapshot // what etcd has
	shown    *catalog.Snapshot // the same, and the nodes that have grace
	nodes    []*registry.Node  // of shown
	ends     int64             // when it is over for one of them, on the setup's clock; 0 for never

	convert  sync.Once // for the first one who filters
	services []registry.Service
}

func (c *choice) empty() bool { return c.shown == nil }

// copied returns the services for filters and strategies, which may change them and their slices of nodes.
func (c *choice) copied() []*registry.Service {
	c.convert.Do(func() {
		for _, v := range c.shown.Versions {
			c.services = append(c.services, registry.Service{
				Name: c.shown.Name, Version: v.Version,
				Metadata: v.Profile.Metadata, Endpoints: toEndpoints(v.Profile.Endpoints), Nodes: shareNodes(v.Nodes),
			})
		}
	})
	services := make([]*registry.Service, len(c.services))
	for i, s := range c.services {
		s.Nodes = slices.Clone(s.Nodes)
		services[i] = &s
	}
	return services
}

func nodesOf(services []*registry.Service) []*registry.Node {
	if len(services) == 1 {
		return services[0].Nodes
	}
	var nodes []*registry.Node
	for _, s := range services {
		nodes = append(nodes, s.Nodes...)
	}
	return nodes
}

// pickFrom returns a picker of go-micro's nodes.
func pickFrom(t picker.Policy, nodes []*registry.Node, outliers map[string]*picker.Outlier) *picker.Picker[*registry.Node] {
	return picker.New(t, nodes, outliers, func(n *registry.Node) *catalog.Node { return (*catalog.Node)(n) })
}
