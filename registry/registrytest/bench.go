package registrytest

import (
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"go-micro.dev/v4/registry"
)

const (
	benchTTL   = 10 * time.Minute // no run outlives it
	benchChunk = 100              // nodes in one Register: its Timeout is for all of them
)

// Bench measures the registry that b describes, with one sub-benchmark per
// kind of work and records as Go Micro's server writes them (see
// [TypicalService]). Registries are comparable when they are measured in one
// run against one store.
//
// Of the Backend it uses Open, Close, Patience, and whether it lacks [Shared]:
// then one process plays all roles. A registry that fails a call fails the
// benchmark; one that loses events does not, but shows it as "lost/op".
//
// The time to live is ten minutes: a registry that renews only in Register
// must not be measured for longer.
func Bench(b *testing.B, backend Backend) {
	b.Helper()
	backend = backend.withDefaults()
	for _, s := range []struct {
		name string
		run  func(*bench)
	}{
		{"GetService/nodes=10", func(x *bench) { x.lookup(10) }},
		{"GetService/nodes=1000", func(x *bench) { x.lookup(1000) }},
		{"GetService/parallel", (*bench).lookupParallel},
		{"ListServices", (*bench).list},
		{"Register/first", (*bench).registerFirst},
		{"Register/repeated", (*bench).registerRepeated},
		{"Deregister", (*bench).deregister},
		{"Watch/latency", (*bench).watchLatency},
		{"Watch/burst", (*bench).watchBurst},
	} {
		b.Run(s.name, func(b *testing.B) {
			s.run(&bench{B: b, backend: backend, scope: "bench." + strings.ToLower(rand.Text()[:6])})
		})
	}
}

// bench is what a sub-benchmark works with. Its methods in small letters fail
// the benchmark where the registry's own return an error.
type bench struct {
	*testing.B
	backend Backend
	scope   string // the service's name, which no other benchmark uses
}

// processes returns a registry that provides and one that consumes.
func (x *bench) processes() (provider, consumer registry.Registry) {
	x.Helper()
	provider = x.open()
	if _, alone := x.backend.Lacks[Shared]; alone {
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
	if err := r.Register(s, registry.RegisterTTL(benchTTL)); err != nil {
		x.Fatalf("Register of %s: %v", s.Name, err)
	}
}

// populate registers nodes until the benchmark ends.
func (x *bench) populate(r registry.Registry, name string, nodes int) {
	x.Helper()
	for from := 0; from < nodes; from += benchChunk {
		x.register(r, typical(name, from, min(benchChunk, nodes-from)))
	}
	x.Cleanup(func() { x.depopulate(r, name, 0, nodes) })
}

// depopulate deregisters what a benchmark has left, so that the next one finds the store as it was.
func (x *bench) depopulate(r registry.Registry, name string, from, nodes int) {
	for end := from + nodes; from < end; from += benchChunk {
		if err := r.Deregister(bare(typical(name, from, min(benchChunk, end-from)))); err != nil {
			x.Errorf("Deregister of %s: %v", name, err)
		}
	}
}

// find looks a service up.
func (x *bench) find(r registry.Registry, name string) []*registry.Service {
	found, err := r.GetService(name)
	if err != nil {
		x.Errorf("GetService(%q): %v", name, err)
	}
	return found
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

// arrivals reports what a watcher delivers, until the benchmark ends: one
// arrival for each node that is created or changed.
func (x *bench) arrivals(r registry.Registry, name string) <-chan arrival {
	x.Helper()
	w, err := r.Watch(registry.WatchService(name))
	if err != nil {
		x.Fatalf("Watch(%q): %v", name, err)
	}
	arrived := make(chan arrival, 1<<16)
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			result, err := w.Next()
			if err != nil {
				return
			}
			now := time.Now()
			if result.Action == "delete" || result.Service == nil || result.Service.Name != name {
				continue
			}
			for _, n := range result.Service.Nodes {
				select {
				case arrived <- arrival{n.Id, now}:
				default: // nobody reads any more
				}
			}
		}
	})
	x.Cleanup(func() {
		w.Stop()
		reading.Wait()
	})
	return arrived
}

type arrival struct {
	node string
	at   time.Time
}
