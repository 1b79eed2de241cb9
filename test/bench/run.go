package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
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

	idSuffix, titleSuffix string // that distinguish rows of another etcd
}

func (r *run) add(row *report.Row) {
	row.ID += r.idSuffix
	row.Title += r.titleSuffix
	r.result.Rows = append(r.result.Rows, row)
	fmt.Fprintf(r.out, "%s\n", row)
}

func (r *run) draw(c *report.Curve) {
	r.result.Curves = append(r.result.Curves, c)
	fmt.Fprintf(r.out, "%s\n", c)
}

// sleep waits, unless ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
