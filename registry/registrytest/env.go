package registrytest

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go-micro.dev/v4/registry"
)

// env is what a case works with. A failure through it ends only the goroutine
// of the kit that saw it.
type env struct {
	ctx     context.Context // ends with the time of the case
	backend Backend
	scope   string // what makes this case's names its own

	mu       sync.Mutex
	faults   []string
	step     string
	sealed   bool // the verdict is given: what comes later does not count
	cleanups []func()
}

func newEnv(ctx context.Context, b Backend, name string) *env {
	return &env{
		ctx:     ctx,
		backend: b,
		scope:   strings.ReplaceAll(name, "/", ".") + "." + strings.ToLower(rand.Text()[:6]),
	}
}

// name makes a service name that only this case uses.
func (e *env) name(suffix string) string { return e.scope + "." + suffix }

// mine tells whether a service belongs to this case.
func (e *env) mine(service string) bool { return strings.HasPrefix(service, e.scope+".") }

func (e *env) add(fault string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = append(e.faults, fault)
}

// failf records a failure and goes on.
func (e *env) failf(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.sealed {
		e.faults = append(e.faults, fmt.Sprintf(format, args...))
	}
}

// fatalf records a failure and ends the calling goroutine.
func (e *env) fatalf(format string, args ...any) {
	e.failf(format, args...)
	runtime.Goexit()
}

func (e *env) seal() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sealed = true
}

func (e *env) failures() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.faults...)
}

// at notes what the case is about to do, for the report of a case that hangs.
func (e *env) at(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.step = fmt.Sprintf(format, args...)
}

func (e *env) doing() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.step
}

// onEnd has f run after the case, last one first.
func (e *env) onEnd(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cleanups = append(e.cleanups, f)
}

func (e *env) cleanUp() {
	e.mu.Lock()
	todo := e.cleanups
	e.cleanups = nil
	e.mu.Unlock()
	for i := len(todo) - 1; i >= 0; i-- {
		<-e.spawn(todo[i])
	}
}

// spawn runs f in a goroutine and turns its panic into a failure.
func (e *env) spawn(f func()) <-chan struct{} {
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

// each runs f(0) to f(n-1) at once and waits for all of them.
func (e *env) each(n int, f func(i int)) {
	running := make([]<-chan struct{}, n)
	for i := range n {
		running[i] = e.spawn(func() { f(i) })
	}
	for _, done := range running {
		<-done
	}
}

// within runs f and fails the case unless f returns in time.
func (e *env) within(d time.Duration, what string, f func()) {
	e.at("%s", what)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-e.spawn(f):
	case <-timer.C:
		e.fatalf("%s: no answer within %v", what, d)
	}
}

// eventually waits until wrong returns "", and fails the case with its last
// answer if that takes longer than the registry may take.
func (e *env) eventually(what string, wrong func() string) {
	e.becomes(e.backend.Patience, what, wrong)
}

// becomes is eventually with a time of its own.
func (e *env) becomes(limit time.Duration, what string, wrong func() string) {
	deadline := time.Now().Add(limit)
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		got := wrong()
		if got == "" {
			return
		}
		if time.Now().After(deadline) {
			e.fatalf("%s: not within %v: %s", what, limit, got)
		}
		e.pause(pause)
	}
}

// holds demands that wrong returns "" whenever it is asked during d.
func (e *env) holds(d, every time.Duration, what string, wrong func() string) {
	for deadline := time.Now().Add(d); ; e.pause(every) {
		if got := wrong(); got != "" {
			e.fatalf("%s: %s", what, got)
		}
		if time.Now().After(deadline) {
			return
		}
	}
}

// pause lets time pass between two questions to a registry that cannot tell
// when its answer changes.
func (e *env) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.ctx.Done():
		runtime.Goexit()
	}
}

// open starts a process on the store and ends it with the case.
func (e *env) open(opts ...registry.Option) *process {
	e.at("Open")
	r, err := e.backend.Open(opts...)
	if err != nil {
		e.fatalf("Open: %v", err)
	}
	p := &process{Registry: r, env: e}
	e.onEnd(func() { p.close() })
	return p
}
