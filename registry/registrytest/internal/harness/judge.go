package harness

import (
	"context"
	"fmt"
	"time"
)

// cleanupTimeout is how long a case that ran out of time may take to clean up.
const cleanupTimeout = 10 * time.Second

// Judge runs the body of the named case and returns its failures. It runs in a goroutine of its own, so that a call
// that never returns costs that goroutine and not the test.
func Judge(ctx context.Context, b Backend, name string, body func(*Env)) []string {
	ctx, cancel := context.WithTimeout(ctx, b.CaseTimeout)
	defer cancel()
	e := newEnv(ctx, b, name)
	done := e.spawn(func() { body(e) })
	select {
	case <-done:
	case <-ctx.Done():
		e.Failf("no end within %v, while: %s", b.CaseTimeout, e.doing())
	}
	e.finish()
	cleaned := e.spawn(e.cleanUp)
	select {
	case <-cleaned:
	case <-time.After(cleanupTimeout):
		e.add(fmt.Sprintf("cleaning up does not end; given up after %v", cleanupTimeout))
	}
	return e.result()
}
