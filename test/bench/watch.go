package main

import (
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/test/bench/report"
)

// silence ends the wait for events that are lost.
const silence = 500 * time.Millisecond

// latencies measures the time from the beginning of a put until a watcher has it. Everybody watches a service of its
// own, and they take turns at each put.
func (r *run) latencies() error {
	all, end, err := r.followers()
	if err != nil {
		return err
	}
	defer end()
	puts := 300
	if r.quick {
		puts = 5
	}
	median := &report.Row{ID: "put-next-p50", Title: "put to Next, median", Unit: "ns"}
	worst := &report.Row{ID: "put-next-p99", Title: "put to Next, 99th percentile", Unit: "ns"}
	streams := make([]*stream, len(all))
	for i, f := range all {
		if streams[i], err = f.open(fmt.Sprintf("latency-%d", i)); err != nil {
			return err
		}
		median.Figures = append(median.Figures, &report.Figure{Who: f.who, Note: f.note, Allocs: -1, Bytes: -1})
		worst.Figures = append(worst.Figures, &report.Figure{Who: f.who, Note: f.note, Allocs: -1, Bytes: -1})
	}
	defer stopAll(streams)
	for sample := range r.samples + 1 { // the first one warms up
		took, err := r.deliverAll(all, streams, sample*puts, puts)
		if err != nil {
			return err
		}
		for i := range all {
			slices.Sort(took[i])
			if sample > 0 {
				median.Figures[i].Samples = append(median.Figures[i].Samples, took[i][puts/2])
				worst.Figures[i].Samples = append(worst.Figures[i].Samples, took[i][puts*99/100])
			}
		}
	}
	r.add(median)
	r.add(worst)
	return r.store.clear(r.ctx)
}

// deliverAll has each follower in turn hear of a put, so many times.
func (r *run) deliverAll(all []follower, streams []*stream, first, puts int) ([][]float64, error) {
	took := make([][]float64, len(all))
	for put := range puts {
		for i, f := range all {
			d, err := r.deliver(f, streams[i], fmt.Sprintf("latency-%d", i), 1+first+put)
			if err != nil {
				return nil, err
			}
			took[i] = append(took[i], float64(d))
		}
	}
	return took, nil
}

// deliver changes a node and waits until its follower has heard of it.
func (r *run) deliver(f follower, to *stream, name string, stamp int) (time.Duration, error) {
	op := f.change(name, 0, stamp)
	to.drain()
	began := time.Now()
	if _, err := r.store.client.Do(r.ctx, op); err != nil {
		return 0, err
	}
	at, ok := to.await(callTimeout)
	if !ok {
		return 0, fmt.Errorf("%s didn't deliver a put", f.who)
	}
	return at.Sub(began), nil
}

// bursts measures the time until a burst is delivered, and whether it is.
func (r *run) bursts() error {
	size := 10_000
	if r.quick {
		size = 200
	}
	all, end, err := r.followers()
	if err != nil {
		return err
	}
	defer end()
	row := &report.Row{
		ID:    "burst",
		Title: fmt.Sprintf("a burst of %d records, in transactions of %d", size, perTxn),
		Unit:  "ns",
	}
	for _, f := range all {
		row.Figures = append(row.Figures, &report.Figure{Who: f.who, Allocs: -1, Bytes: -1})
	}
	lost := make([]int, len(all))
	for sample := range r.samples {
		for i, f := range all {
			took, missing, err := r.burst(f, fmt.Sprintf("burst-%d", i), size, sample+1)
			if err != nil {
				return err
			}
			row.Figures[i].Samples = append(row.Figures[i].Samples, float64(took))
			lost[i] += missing
		}
	}
	for i, f := range row.Figures {
		f.Lost = lost[i] / r.samples
		f.Note = fmt.Sprintf("lost %d of %d", f.Lost, size)
	}
	r.add(row)
	return r.store.clear(r.ctx)
}

func (r *run) burst(f follower, name string, size, stamp int) (took time.Duration, lost int, err error) {
	from, err := f.open(name)
	if err != nil {
		return 0, 0, err
	}
	defer from.stop()
	skipReplay(from)
	began := time.Now()
	last := began
	if err := r.store.put(r.ctx, size, func(i int) clientv3.Op { return f.change(name, i, stamp) }); err != nil {
		return 0, 0, err
	}
	for got := range size {
		at, ok := from.await(silence)
		if !ok {
			return last.Sub(began), size - got, nil
		}
		last = at
	}
	return last.Sub(began), 0, nil
}

func stopAll(streams []*stream) {
	for _, s := range streams {
		s.stop()
	}
}

// manyWatchers measures many watchers of one service in one process.
func (r *run) manyWatchers() error {
	curve := &report.Curve{
		ID:    "watchers",
		Title: "From a put until all watchers in a process have it",
		X:     "watchers of one service",
		Y:     "time",
		Unit:  "ns",
	}
	row := &report.Row{
		ID:    "watchers-200",
		Title: "etcd watches that 200 watchers of one service in one process open",
		Unit:  "watches",
	}
	sizes := []int{1, 10, 100, 200, 1000}
	if r.quick {
		sizes = []int{1, 200}
	}
	all, end, err := r.followers()
	if err != nil {
		return err
	}
	defer end()
	for _, size := range sizes {
		for i, f := range all {
			took, watches, err := r.watchersOf(f, fmt.Sprintf("crowd-%d-%d", size, i), size)
			if err != nil {
				return err
			}
			curve.Add(f.who, float64(size), took)
			if size == 200 {
				row.Figures = append(row.Figures,
					&report.Figure{Who: f.who, Note: f.note, Samples: []float64{watches}, Allocs: -1, Bytes: -1})
			}
		}
	}
	r.add(row)
	r.draw(curve)
	return r.store.clear(r.ctx)
}

// watchersOf opens so many streams, and returns how long a put takes to all of them and how many watches they are at
// etcd.
func (r *run) watchersOf(f follower, name string, size int) (took, watches float64, err error) {
	if err := r.awaitQuiet(); err != nil {
		return 0, 0, err
	}
	before, err := r.store.counts(r.ctx)
	if err != nil {
		return 0, 0, err
	}
	streams := make([]*stream, size)
	for i := range streams {
		if streams[i], err = f.open(name); err != nil {
			return 0, 0, err
		}
	}
	defer stopAll(streams)
	var samples []float64
	for sample := range r.samples + 1 {
		d, err := r.deliverToAll(f, streams, name, sample+1)
		if err != nil {
			return 0, 0, err
		}
		if sample > 0 {
			samples = append(samples, float64(d))
		}
	}
	after, err := r.store.counts(r.ctx)
	if err != nil {
		return 0, 0, err
	}
	figure := report.Figure{Samples: samples}
	return figure.Median(), float64(after[watchers] - before[watchers]), nil
}

// deliverToAll changes a node and waits until all streams have it.
func (r *run) deliverToAll(f follower, streams []*stream, name string, stamp int) (time.Duration, error) {
	op := f.change(name, 0, stamp)
	began := time.Now()
	if _, err := r.store.client.Do(r.ctx, op); err != nil {
		return 0, err
	}
	last := began
	for _, one := range streams {
		at, ok := one.await(callTimeout)
		if !ok {
			return 0, fmt.Errorf("%s didn't deliver a put to %d watchers", f.who, len(streams))
		}
		if at.After(last) {
			last = at
		}
	}
	return last.Sub(began), nil
}

// awaitQuiet waits until etcd's number of watches rests, because those of the row before are canceled behind its back.
func (r *run) awaitQuiet() error {
	last := -1
	for same := 0; same < 3; {
		c, err := r.store.counts(r.ctx)
		if err != nil {
			return err
		}
		if c[watchers] == last {
			same++
		} else {
			last, same = c[watchers], 0
		}
		if err := sleep(r.ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
