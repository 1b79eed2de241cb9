package main

import (
	"fmt"
	"runtime"
	"syscall"
	"time"

	"go-micro.dev/v4/registry/cache"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/test/bench/report"
)

const cached = "go-micro's cache over the official plugin"

// scaling measures how costs grow with the number of nodes of a service.
func (r *run) scaling() error {
	sizes := []int{1, 10, 100, 1000, 10_000, 100_000}
	if r.quick {
		sizes = []int{10, 10_000}
	}
	look := &report.Curve{ID: "lookup", Title: "GetService of a followed service", X: "nodes", Y: "time", Unit: "ns"}
	event := &report.Curve{
		ID:    "event",
		Title: "CPU time of the process for one event, with nobody looking up",
		X:     "nodes of the service",
		Y:     "CPU time",
		Unit:  "ns",
	}
	heap := &report.Curve{
		ID:    "memory",
		Title: "Heap for one followed node",
		X:     "nodes of the service",
		Y:     "heap",
		Unit:  "B",
	}
	for _, nodes := range sizes {
		if err := r.scale(nodes, look, event, heap, nodes == sizes[len(sizes)-1]); err != nil {
			return fmt.Errorf("at %d nodes: %w", nodes, err)
		}
	}
	r.draw(look)
	r.draw(event)
	r.draw(heap)
	return nil
}

func (r *run) scale(nodes int, look, event, heap *report.Curve, last bool) error {
	name := fmt.Sprintf("grow-%d", nodes)
	if err := r.seedAll(name, nodes); err != nil {
		return err
	}
	defer func() { _ = r.store.clear(r.ctx) }()
	if err := r.scaleLookup(look, name, nodes); err != nil {
		return err
	}
	if err := r.scaleEvents(event, name, nodes); err != nil {
		return err
	}
	if nodes < 1000 && !r.quick {
		return nil // a registry's own fixed cost would be divided by the nodes
	}
	return r.scaleHeap(heap, name, nodes, last)
}

// scaleLookup takes few samples of what takes long.
func (r *run) scaleLookup(curve *report.Curve, name string, nodes int) error {
	all, end, err := r.lookupCompetitors(name, nodes)
	if err != nil {
		return err
	}
	defer end()
	if err := all[0].op(0); err != nil { // ours: the lookup from which it follows
		return err
	}
	for _, e := range all {
		figure := report.Figure{}
		for range r.samples {
			n := 0
			began := time.Now()
			for n == 0 || time.Since(began) < r.span {
				if err := e.op(n); err != nil {
					return err
				}
				n++
			}
			took := time.Since(began)
			figure.Samples = append(figure.Samples, float64(took)/float64(n))
			if took > time.Second || took > 5*r.span && len(figure.Samples) == 3 {
				break
			}
		}
		curve.Add(e.who, float64(nodes), figure.Median())
	}
	return nil
}

// perChange is how many nodes change at once, which shares out what a request costs.
const perChange = 10

// scaleEvents measures the process' CPU time while nodes of the service change again and again.
func (r *run) scaleEvents(curve *report.Curve, name string, nodes int) error {
	if nodes < perChange {
		return nil
	}
	all, end, err := r.followers()
	if err != nil {
		return err
	}
	defer end()
	changes := 100
	if r.quick {
		changes = 5
	}
	for _, f := range all {
		if f.who == plugin || f.who == five {
			continue // they lose most of them
		}
		to, err := f.open(name)
		if err != nil {
			return err
		}
		skipReplay(to)
		figure := report.Figure{}
		for sample := range r.samples {
			cost, err := r.eventCost(f, to, name, sample*changes, changes)
			if err != nil {
				return err
			}
			figure.Samples = append(figure.Samples, cost)
		}
		to.stop()
		curve.Add(f.who, float64(nodes), figure.Median())
	}
	return nil
}

// eventCost includes a share of what writing costs this process, which is the same for all.
func (r *run) eventCost(f follower, to *stream, name string, stamp, changes int) (float64, error) {
	ops := make([]clientv3.Op, changes*perChange)
	for i := range ops {
		ops[i] = f.change(name, i%perChange, 1+stamp+i/perChange)
	}
	runtime.GC()
	before := cpuTime()
	for i := range changes {
		change := ops[i*perChange : (i+1)*perChange]
		if err := r.store.put(r.ctx, perChange, func(i int) clientv3.Op { return change[i] }); err != nil {
			return 0, err
		}
	}
	for range ops {
		if _, ok := to.await(callTimeout); !ok {
			return 0, fmt.Errorf("%s didn't deliver an event", f.who)
		}
	}
	return float64(cpuTime()-before) / float64(len(ops)), nil
}

// cpuTime is what this process has used so far, without etcd.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // there is no such failure for oneself
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// scaleHeap measures what following a service costs in memory.
func (r *run) scaleHeap(curve *report.Curve, name string, nodes int, last bool) error {
	row := &report.Row{ID: "memory", Title: fmt.Sprintf("heap for one followed node, at %d nodes", nodes), Unit: "B"}
	samples := min(3, r.samples)
	for _, c := range r.holders(name, nodes) {
		figure := &report.Figure{Who: c.who, Note: c.note, Allocs: -1, Bytes: -1}
		for range samples {
			before := liveHeap()
			end, err := c.follow()
			if err != nil {
				return err
			}
			figure.Samples = append(figure.Samples, (liveHeap()-before)/float64(nodes))
			end()
		}
		samples = 1 // of the others
		row.Figures = append(row.Figures, figure)
		curve.Add(c.who, float64(nodes), figure.Median())
	}
	if last {
		r.add(row)
	}
	return nil
}

// holder is a competitor that keeps a service in memory.
type holder struct {
	who, note string
	follow    func() (end func(), err error)
}

// holders returns everybody who has a local view, ours first.
func (r *run) holders(name string, nodes int) []*holder {
	return []*holder{
		{ours, "", func() (func(), error) {
			mine, err := openOurs(r.store.endpoint)
			if err != nil {
				return nil, err
			}
			return func() { closeAll(mine) }, find(ours, mine, name, nodes)(0)
		}},
		{cached, "the nodes alone; the registry itself keeps nothing", func() (func(), error) {
			c := cache.New(openPlugin(r.store.endpoint))
			_, err := c.GetService(name)
			return c.Stop, err
		}},
		{zero, "the values as strings, undecoded, and each as the key of a map", func() (func(), error) {
			sub, err := r.store.subscribe(name)
			if err != nil {
				return nil, err
			}
			return sub.Close, want(zero, nodes, len(sub.Values()))
		}},
	}
}

// liveHeap is what is in use after a collection; a second one takes what the first one's finalizers let go.
func liveHeap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
