package registrytest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// abandonAfter is how long a case that ran out of time may take to clean up.
const abandonAfter = 10 * time.Second

// Run judges the registry that b describes: one subtest per case of [Cases].
// Cases that mostly wait for the clock run in parallel with each other.
func Run(t *testing.T, b Backend) {
	t.Helper()
	b = b.withDefaults()
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

// Check judges the registry that b describes without failing anything. It
// takes the given cases, or all of [Cases] if none is given. Cases that are
// still to run when ctx ends are reported as failures that say so.
func Check(ctx context.Context, b Backend, cases ...Case) Report {
	b = b.withDefaults()
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

// judge runs the case in a goroutine of its own, so that a call that never
// returns costs that goroutine and not the test.
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
	ctx, cancel := context.WithTimeout(ctx, b.CaseTimeout)
	defer cancel()
	e := newEnv(ctx, b, c.Name)
	done := e.spawn(func() { c.body(e) })
	select {
	case <-done:
	case <-ctx.Done():
		e.failf("no end within %v, while: %s", b.CaseTimeout, e.doing())
	}
	e.seal()
	cleaned := e.spawn(e.cleanUp)
	select {
	case <-cleaned:
	case <-time.After(abandonAfter):
		e.add(fmt.Sprintf("cleaning up does not end; given up after %v", abandonAfter))
	}
	o.Failures = e.failures()
	o.Took = time.Since(started)
	return o
}
