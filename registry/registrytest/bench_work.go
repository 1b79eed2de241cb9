package registrytest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go-micro.dev/v4/registry"
)

// lookup finds a service that has been looked up before.
func (x *bench) lookup(nodes int) {
	provider, consumer := x.processes()
	x.populate(provider, x.scope, nodes)
	x.awaitNodes(consumer, x.scope, nodes)
	x.ReportAllocs()
	for x.Loop() {
		x.find(consumer, x.scope)
	}
}

// lookupParallel is lookup of ten nodes by as many goroutines as can run.
func (x *bench) lookupParallel() {
	const nodes = 10
	provider, consumer := x.processes()
	x.populate(provider, x.scope, nodes)
	x.awaitNodes(consumer, x.scope, nodes)
	x.ReportAllocs()
	x.ResetTimer()
	x.RunParallel(func(more *testing.PB) {
		for more.Next() {
			x.find(consumer, x.scope)
		}
	})
}

// list lists a hundred services of ten nodes, and whatever else is in the store.
func (x *bench) list() {
	provider, consumer := x.processes()
	for i := range 100 {
		x.populate(provider, fmt.Sprintf("%s.%d", x.scope, i), 10)
	}
	x.ReportAllocs()
	for x.Loop() {
		if _, err := consumer.ListServices(); err != nil {
			x.Fatalf("ListServices: %v", err)
		}
	}
}

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
		nodes[i] = bare(s)
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

// watchLatency measures from the beginning of a Register in one process until
// another one's Next has returned the node.
func (x *bench) watchLatency() {
	provider, consumer := x.processes()
	arrived := x.arrivals(consumer, x.scope)
	var took []time.Duration
	lost, n := 0, 0
	for x.Loop() {
		s := typical(x.scope, n, 1)
		n++
		began := time.Now()
		x.register(provider, s)
		if at, ok := x.awaitArrival(arrived, s.Nodes[0].Id); ok {
			took = append(took, at.Sub(began))
		} else {
			lost++
		}
	}
	x.depopulate(provider, x.scope, 0, n)
	x.reportLost(lost)
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	x.ReportMetric(float64(took[len(took)/2]), "p50-ns")
	x.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
}

func (x *bench) awaitArrival(arrived <-chan arrival, node string) (time.Time, bool) {
	timer := time.NewTimer(x.backend.Patience)
	defer timer.Stop()
	for {
		select {
		case a := <-arrived:
			if a.node == node {
				return a.at, true
			}
		case <-timer.C:
			return time.Time{}, false
		}
	}
}

// watchBurst registers a thousand nodes as fast as the registry takes them. An
// operation ends when the watcher has delivered all of them, or nothing more
// for as long as the Backend's Patience.
func (x *bench) watchBurst() {
	const nodes = 1000
	provider, consumer := x.processes()
	arrived := x.arrivals(consumer, x.scope)
	lost, from := 0, 0
	for x.Loop() {
		missing := make(map[string]bool, nodes)
		for i := range nodes {
			missing[TypicalNode(x.scope, from+i).Id] = true
		}
		for i := 0; i < nodes; i += benchChunk {
			x.register(provider, typical(x.scope, from+i, benchChunk))
		}
		lost += x.strike(arrived, missing)
		x.StopTimer()
		x.depopulate(provider, x.scope, from, nodes)
		x.StartTimer()
		from += nodes
	}
	x.reportLost(lost)
}

// strike takes what arrives off the list of what is missing, and returns how
// much of that never came.
func (x *bench) strike(arrived <-chan arrival, missing map[string]bool) int {
	silence := time.NewTimer(x.backend.Patience)
	defer silence.Stop()
	for len(missing) > 0 {
		select {
		case a := <-arrived:
			delete(missing, a.node)
			silence.Reset(x.backend.Patience)
		case <-silence.C:
			return len(missing)
		}
	}
	return 0
}

func (x *bench) reportLost(lost int) { x.ReportMetric(float64(lost)/float64(x.N), "lost/op") }
