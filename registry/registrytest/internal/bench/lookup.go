package bench

import (
	"fmt"
	"testing"
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
