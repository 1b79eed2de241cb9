package registrytest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
)

// Run judges the registry that b describes: one subtest per case of [Cases]. Cases that mostly wait for the clock run
// in parallel with each other.
func Run(t *testing.T, b Backend) {
	t.Helper()
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			if reason := b.lacks(c.Needs); reason != "" {
				t.Skipf("rule: %s\n%s", c.Rule, reason)
			}
			if c.waits {
				t.Parallel()
			}
			o := c.judge(t.Context(), b)
			if len(o.Failures) > 0 {
				t.Errorf("rule: %s\n%s", o.Case.Rule, strings.Join(o.Failures, "\n"))
			}
		})
	}
}

// Check judges the registry that b describes without failing anything. It takes the given cases, or all of [Cases] if
// none is given. Cases that are still to run when ctx ends are reported as failures that say so.
func Check(ctx context.Context, b Backend, cases ...Case) Report {
	if len(cases) == 0 {
		cases = Cases()
	}
	report := make(Report, len(cases))
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for _, later := range []bool{false, true} {
		for i, c := range cases {
			switch {
			case c.waits != later:
			case later:
				waiting.Go(func() { report[i] = c.judge(ctx, b) })
			default:
				report[i] = c.judge(ctx, b)
			}
		}
	}
	return report
}

// judge runs the case, if it applies and there is time for it.
func (c Case) judge(ctx context.Context, b Backend) Outcome {
	o := Outcome{Case: c}
	if o.Skipped = b.lacks(c.Needs); o.Skipped != "" {
		return o
	}
	if err := ctx.Err(); err != nil {
		o.Failures = []string{"not run: " + err.Error()}
		return o
	}
	started := time.Now()
	o.Failures = harness.Judge(ctx, b.forHarness(), c.Name, c.body)
	o.Took = time.Since(started)
	return o
}
