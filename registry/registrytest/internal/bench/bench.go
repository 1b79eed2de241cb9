package bench

import (
	"testing"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

const (
	ttl   = 10 * time.Minute // no run outlives it
	chunk = 100              // nodes in one Register: its Timeout is for all of them
)

// bench is what a sub-benchmark works with. Its methods in small letters fail the benchmark where the registry's own
// return an error.
type bench struct {
	*testing.B
	backend harness.Backend
	scope   string // the service's name, which no other benchmark uses
}

// processes returns a registry that provides and one that consumes.
func (x *bench) processes() (provider, consumer registry.Registry) {
	x.Helper()
	provider = x.open()
	if x.backend.Alone {
		return provider, provider
	}
	return provider, x.open()
}

func (x *bench) open() registry.Registry {
	x.Helper()
	r, err := x.backend.Open()
	if err != nil {
		x.Fatalf("Open: %v", err)
	}
	x.Cleanup(func() {
		if err := x.backend.Close(r); err != nil {
			x.Errorf("Close: %v", err)
		}
	})
	return r
}

func (x *bench) register(r registry.Registry, s *registry.Service) {
	if err := r.Register(s, registry.RegisterTTL(ttl)); err != nil {
		x.Fatalf("Register of %s: %v", s.Name, err)
	}
}

// populate registers nodes until the benchmark ends.
func (x *bench) populate(r registry.Registry, name string, nodes int) {
	x.Helper()
	for from := 0; from < nodes; from += chunk {
		x.register(r, typical(name, from, min(chunk, nodes-from)))
	}
	x.Cleanup(func() { x.depopulate(r, name, 0, nodes) })
}

// depopulate deregisters what a benchmark has left, so that the next one finds the store as it was.
func (x *bench) depopulate(r registry.Registry, name string, from, nodes int) {
	for end := from + nodes; from < end; from += chunk {
		if err := r.Deregister(record.Bare(typical(name, from, min(chunk, end-from)))); err != nil {
			x.Errorf("Deregister of %s: %v", name, err)
		}
	}
}

// find looks a service up.
func (x *bench) find(r registry.Registry, name string) {
	if _, err := r.GetService(name); err != nil {
		x.Errorf("GetService(%q): %v", name, err)
	}
}

// awaitNodes waits until a lookup finds all nodes.
func (x *bench) awaitNodes(r registry.Registry, name string, nodes int) {
	x.Helper()
	deadline := time.Now().Add(x.backend.Patience)
	for pause := time.Millisecond; ; pause *= 2 {
		found, err := r.GetService(name)
		if n := countNodes(found); err == nil && n == nodes {
			return
		} else if time.Now().After(deadline) {
			x.Fatalf("GetService(%q) finds %d of %d nodes: %v", name, n, nodes, err)
		}
		time.Sleep(pause)
	}
}

func countNodes(services []*registry.Service) int {
	n := 0
	for _, s := range services {
		n += len(s.Nodes)
	}
	return n
}
