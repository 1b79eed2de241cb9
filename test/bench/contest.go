package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"sync"
	"time"

	"github.com/micro-etcd/micro-etcd/test/bench/report"
)

// run is one run of the benchmarks.
type run struct {
	ctx     context.Context
	store   *store
	quick   bool
	samples int           // of each figure
	span    time.Duration // that a sample takes at least
	rows    *regexp.Regexp
	out     io.Writer // progress
	result  report.Result

	mark, remark string // that distinguish rows of another etcd
}

// contest is a row to be measured.
type contest struct {
	id, title string
	entrants  []entrant
	requests  bool // count what etcd is asked
	parallel  int  // goroutines that share the operations; 0 for the caller's own
}

// entrant is one competitor's way to do the work.
type entrant struct {
	who  string
	op   func(i int) error        // i counts up and never comes twice
	undo func(first, n int) error // what n operations have left; not timed
	most int                      // operations in a sample, at most
	note string                   // what it does differently
}

// hold lets the competitors take turns, so that what else the machine does hits all of them.
func (r *run) hold(c contest) error {
	if len(c.entrants) == 0 {
		return nil
	}
	row := &report.Row{ID: c.id, Title: c.title, Unit: "ns"}
	turns := make([]*turn, len(c.entrants))
	for i, e := range c.entrants {
		turns[i] = &turn{run: r, contest: c, entrant: e, figure: &report.Figure{Who: e.who, Note: e.note}}
		row.Figures = append(row.Figures, turns[i].figure)
		if err := turns[i].calibrate(); err != nil {
			return fmt.Errorf("%s: %s: %w", c.id, e.who, err)
		}
	}
	for range r.samples {
		for _, t := range turns {
			if err := t.take(); err != nil {
				return fmt.Errorf("%s: %s: %w", c.id, t.entrant.who, err)
			}
		}
	}
	for _, t := range turns {
		t.finish()
	}
	r.add(row)
	return nil
}

func (r *run) add(row *report.Row) {
	row.ID += r.mark
	row.Title += r.remark
	r.result.Rows = append(r.result.Rows, row)
	fmt.Fprintf(r.out, "%s\n", row)
}

// turn is one competitor in one contest.
type turn struct {
	run     *run
	contest contest
	entrant entrant
	figure  *report.Figure

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
		if most := t.entrant.most; most > 0 && t.n >= most {
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
	if t.contest.parallel > 0 {
		err = t.spread(first)
	} else {
		for i := range t.n {
			if err = t.entrant.op(first + i); err != nil {
				break
			}
		}
	}
	took = time.Since(began)
	if err == nil && t.entrant.undo != nil {
		err = t.entrant.undo(first, t.n)
	}
	return took, err
}

// spread has several goroutines do the operations.
func (t *turn) spread(first int) error {
	var all sync.WaitGroup
	errs := make(chan error, t.contest.parallel)
	each := t.n/t.contest.parallel + 1
	for g := range t.contest.parallel {
		all.Go(func() {
			for i := range each {
				if err := t.entrant.op(first + g*each + i); err != nil {
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

// take takes a sample.
func (t *turn) take() error {
	var before, after runtime.MemStats
	var asked counts
	var err error
	if t.contest.requests {
		if asked, err = t.run.store.counts(t.run.ctx); err != nil {
			return err
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	undo := t.entrant.undo
	t.entrant.undo = nil // until everything is counted
	took, err := t.do()
	t.entrant.undo = undo
	runtime.ReadMemStats(&after)
	if err != nil {
		return err
	}
	if t.contest.requests {
		now, err := t.run.store.counts(t.run.ctx)
		if err != nil {
			return err
		}
		t.note(now.since(asked))
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

func (t *turn) note(asked counts) {
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
	if !t.contest.requests {
		return
	}
	t.figure.Requests = map[string]float64{}
	for what, count := range t.asked {
		if what != watchers {
			t.figure.Requests[what] = float64(count) / n
		}
	}
}
