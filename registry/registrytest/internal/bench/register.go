package bench

import (
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

// registerFirst registers a node that is not there yet.
func (x *bench) registerFirst() {
	provider := x.open()
	nodes := x.singles()
	x.ReportAllocs()
	x.ResetTimer()
	for _, s := range nodes {
		x.register(provider, s)
	}
	x.StopTimer()
	x.depopulate(provider, x.scope, 0, len(nodes))
}

// registerRepeated is what Go Micro's server does at every RegisterInterval.
func (x *bench) registerRepeated() {
	provider := x.open()
	s := typical(x.scope, 0, 1)
	x.register(provider, s)
	x.ReportAllocs()
	for x.Loop() {
		x.register(provider, s)
	}
	x.depopulate(provider, x.scope, 0, 1)
}

// deregister removes nodes that are there, one after the other.
func (x *bench) deregister() {
	provider := x.open()
	nodes := x.singles()
	for i, s := range nodes {
		x.register(provider, s)
		nodes[i] = record.Bare(s)
	}
	x.ReportAllocs()
	x.ResetTimer()
	for _, s := range nodes {
		if err := provider.Deregister(s); err != nil {
			x.Fatalf("Deregister of %s: %v", x.scope, err)
		}
	}
}

// singles returns as many services of one node as there are operations.
func (x *bench) singles() []*registry.Service {
	nodes := make([]*registry.Service, x.N)
	for i := range nodes {
		nodes[i] = typical(x.scope, i, 1)
	}
	return nodes
}
