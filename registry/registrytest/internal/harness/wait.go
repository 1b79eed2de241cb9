package harness

import (
	"fmt"
	"runtime"
	"time"
)

// Each runs f(0) to f(n-1) at once and waits for all of them.
func (e *Env) Each(n int, f func(i int)) {
	running := make([]<-chan struct{}, n)
	for i := range n {
		running[i] = e.spawn(func() { f(i) })
	}
	for _, done := range running {
		<-done
	}
}

// Within runs f and fails the case unless f returns in time.
func (e *Env) Within(d time.Duration, what string, f func()) {
	e.Step("%s", what)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-e.spawn(f):
	case <-timer.C:
		e.Fatalf("%s: no answer within %v", what, d)
	}
}

// Eventually waits until wrong returns "", and fails the case with its last answer if that takes longer than the
// registry may take.
func (e *Env) Eventually(what string, wrong func() string) {
	e.EventuallyWithin(e.Backend.Patience, what, wrong)
}

// EventuallyWithin is Eventually with a limit of its own.
func (e *Env) EventuallyWithin(limit time.Duration, what string, wrong func() string) {
	deadline := time.Now().Add(limit)
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		got := wrong()
		if got == "" {
			return
		}
		if time.Now().After(deadline) {
			e.Fatalf("%s: not within %v: %s", what, limit, got)
		}
		e.pause(pause)
	}
}

// Consistently demands that wrong returns "" whenever it is asked during d.
func (e *Env) Consistently(d, every time.Duration, what string, wrong func() string) {
	for deadline := time.Now().Add(d); ; e.pause(every) {
		if got := wrong(); got != "" {
			e.Fatalf("%s: %s", what, got)
		}
		if time.Now().After(deadline) {
			return
		}
	}
}

// pause lets time pass between two questions to a registry that cannot tell when its answer changes.
func (e *Env) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.ctx.Done():
		runtime.Goexit()
	}
}

// LeaksNothing demands that rounds of f don't leave a goroutine per round. A few may come and go for reasons that have
// nothing to do with f.
func (e *Env) LeaksNothing(rounds int, f func(i int)) {
	f(0) // what is started once does not count
	before := restingGoroutines()
	for i := range rounds {
		f(i)
	}
	e.Eventually("goroutines end", func() string {
		if now := runtime.NumGoroutine(); now >= before+rounds/2 {
			return fmt.Sprintf("%d goroutines before %d rounds, %d after", before, rounds, now)
		}
		return ""
	})
}

// restingGoroutines returns how many goroutines there are once no more of them end: those of what was before don't
// count.
func restingGoroutines() int {
	n := runtime.NumGoroutine()
	for unchanged := 0; unchanged < 10; unchanged++ {
		time.Sleep(5 * time.Millisecond)
		if now := runtime.NumGoroutine(); now < n {
			n, unchanged = now, 0
		}
	}
	return n
}
