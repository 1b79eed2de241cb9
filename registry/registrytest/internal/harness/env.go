package harness

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// Env is what a case works with. A failure through it ends only the goroutine of the kit that saw it.
type Env struct {
	// Backend is what the case may do to the registry and its store.
	Backend Backend

	ctx   context.Context
	scope string // what makes this case's names its own

	mu       sync.Mutex
	failures []string
	step     string // what the case is doing
	finished bool   // a failure that comes later does not count
	cleanups []func()
}

func newEnv(ctx context.Context, b Backend, name string) *Env {
	return &Env{
		Backend: b,
		ctx:     ctx,
		scope:   strings.ReplaceAll(name, "/", ".") + "." + strings.ToLower(rand.Text()[:6]),
	}
}

// Context ends with the time of the case.
func (e *Env) Context() context.Context { return e.ctx }

// Name makes a service name that only this case uses.
func (e *Env) Name(suffix string) string { return e.scope + "." + suffix }

// mine tells whether a service belongs to this case.
func (e *Env) mine(service string) bool { return strings.HasPrefix(service, e.scope+".") }

func (e *Env) add(failure string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures = append(e.failures, failure)
}

// Failf records a failure and goes on.
func (e *Env) Failf(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.finished {
		e.failures = append(e.failures, fmt.Sprintf(format, args...))
	}
}

// Fatalf records a failure and ends the calling goroutine.
func (e *Env) Fatalf(format string, args ...any) {
	e.Failf(format, args...)
	runtime.Goexit()
}

func (e *Env) finish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.finished = true
}

func (e *Env) result() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.failures)
}

// Step notes what the case is about to do, for the report of a case that hangs.
func (e *Env) Step(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.step = fmt.Sprintf(format, args...)
}

func (e *Env) doing() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.step
}

// Cleanup has f run after the case, last one first.
func (e *Env) Cleanup(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cleanups = append(e.cleanups, f)
}

func (e *Env) cleanUp() {
	e.mu.Lock()
	todo := e.cleanups
	e.cleanups = nil
	e.mu.Unlock()
	for i := len(todo) - 1; i >= 0; i-- {
		<-e.spawn(todo[i])
	}
}

// spawn runs f in a goroutine and turns its panic into a failure.
func (e *Env) spawn(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				e.add(fmt.Sprintf("panic: %v\n%s", v, debug.Stack()))
			}
		}()
		f()
	}()
	return done
}
