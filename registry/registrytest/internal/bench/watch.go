package bench

import (
	"slices"
	"sync"
	"time"

	"go-micro.dev/v4/registry"
)

// watchLatency measures from the beginning of a Register in one process until another one's Next has returned the node.
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

// watchBurst registers a thousand nodes as fast as the registry takes them. An operation ends when the watcher has
// delivered all of them, or nothing more for as long as the Backend's Patience.
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
		for i := 0; i < nodes; i += chunk {
			x.register(provider, typical(x.scope, from+i, chunk))
		}
		lost += x.countLost(arrived, missing)
		x.StopTimer()
		x.depopulate(provider, x.scope, from, nodes)
		x.StartTimer()
		from += nodes
	}
	x.reportLost(lost)
}

// countLost takes what arrives off the list of what is missing, and returns how much of that never came.
func (x *bench) countLost(arrived <-chan arrival, missing map[string]bool) int {
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

// arrivals reports what a watcher delivers, until the benchmark ends: one arrival for each node that is created or
// changed.
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

func (x *bench) reportLost(lost int) { x.ReportMetric(float64(lost)/float64(x.N), "lost/op") }
