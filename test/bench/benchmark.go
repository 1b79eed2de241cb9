package main

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/micro-etcd/micro-etcd/test/bench/report"
)

// benchmark is a row to be measured.
type benchmark struct {
	id, title   string
	competitors []competitor
	requests    bool // count what etcd is asked
	parallel    int  // goroutines that share the operations; 0 for the caller's own
}

// competitor is one competitor's way to do the work.
type competitor struct {
	who  string
	op   func(i int) error        // i counts up and never comes twice
	undo func(first, n int) error // what n operations have left; not timed
	most int                      // operations in a sample, at most
	note string                   // what it does differently
}

// compare lets the competitors take turns, so that what else the machine does hits all of them.
func (r *run) compare(b benchmark) error {
	if len(b.competitors) == 0 {
		return nil
	}
	row := &report.Row{ID: b.id, Title: b.title, Unit: "ns"}
	turns := make([]*turn, len(b.competitors))
	for i, c := range b.competitors {
		turns[i] = &turn{run: r, benchmark: b, competitor: c, figure: &report.Figure{Who: c.who, Note: c.note}}
		row.Figures = append(row.Figures, turns[i].figure)
		if err := turns[i].calibrate(); err != nil {
			return fmt.Errorf("%s: %s: %w", b.id, c.who, err)
		}
	}
	for range r.samples {
		for _, t := range turns {
			if err := t.sample(); err != nil {
				return fmt.Errorf("%s: %s: %w", b.id, t.competitor.who, err)
			}
		}
	}
	for _, t := range turns {
		t.finish()
	}
	r.add(row)
	return nil
}

// turn is one competitor in one benchmark.
type turn struct {
	run        *run
	benchmark  benchmark
	competitor competitor
	figure     *report.Figure

	next, n int // operations done, and in a sample
	done    int // in samples
	allocs  uint64
	bytes   uint64
	asked   counts
}

// surelySlow is how many operations aren't held up by chance.
const surelySlow = 1 << 14

// calibrate finds out how many operations fill a sample, which warms up as well.
func (t *turn) calibrate() error {
	for t.n = 1; ; t.n *= 2 {
		if most := t.competitor.most; most > 0 && t.n >= most {
			t.n = most
			return nil
		}
		took, err := t.do()
		if err != nil {
			return err
		}
		if took > t.run.span/2 && t.n < surelySlow { // or only held up, and a sample would be far too short
			if took, err = t.do(); err != nil {
				return err
			}
		}
		if took > t.run.span/2 {
			t.n = max(1, int(float64(t.n)*float64(t.run.span)/float64(took)))
			return nil
		}
	}
}

// do runs the operations of one sample.
func (t *turn) do() (took time.Duration, err error) {
	first := t.next
	t.next += t.n
	began := time.Now()
	if t.benchmark.parallel > 0 {
		err = t.doInParallel(first)
	} else {
		for i := range t.n {
			if err = t.competitor.op(first + i); err != nil {
				break
			}
		}
	}
	took = time.Since(began)
	if err == nil && t.competitor.undo != nil {
		err = t.competitor.undo(first, t.n)
	}
	return took, err
}

// doInParallel has several goroutines do the operations.
func (t *turn) doInParallel(first int) error {
	var all sync.WaitGroup
	errs := make(chan error, t.benchmark.parallel)
	each := t.n/t.benchmark.parallel + 1
	for g := range t.benchmark.parallel {
		all.Go(func() {
			for i := range each {
				if err := t.competitor.op(first + g*each + i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

// sample takes a sample.
func (t *turn) sample() error {
	var before, after runtime.MemStats
	var asked counts
	var err error
	if t.benchmark.requests {
		if asked, err = t.run.store.counts(t.run.ctx); err != nil {
			return err
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	undo := t.competitor.undo
	t.competitor.undo = nil // until everything is counted
	took, err := t.do()
	t.competitor.undo = undo
	runtime.ReadMemStats(&after)
	if err != nil {
		return err
	}
	if t.benchmark.requests {
		now, err := t.run.store.counts(t.run.ctx)
		if err != nil {
			return err
		}
		t.addCounts(now.since(asked))
	}
	t.figure.Samples = append(t.figure.Samples, float64(took)/float64(t.n))
	t.allocs += after.Mallocs - before.Mallocs
	t.bytes += after.TotalAlloc - before.TotalAlloc
	t.done += t.n
	if undo != nil {
		return undo(t.next-t.n, t.n)
	}
	return nil
}

func (t *turn) addCounts(asked counts) {
	if t.asked == nil {
		t.asked = counts{}
	}
	for what, n := range asked {
		t.asked[what] += n
	}
}

func (t *turn) finish() {
	n := float64(t.done)
	t.figure.Allocs, t.figure.Bytes = float64(t.allocs)/n, float64(t.bytes)/n
	if !t.benchmark.requests {
		return
	}
	t.figure.Requests = map[string]float64{}
	for what, count := range t.asked {
		if what != watchers {
			t.figure.Requests[what] = float64(count) / n
		}
	}
}
