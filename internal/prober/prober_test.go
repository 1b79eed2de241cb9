package prober

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// bench is a prober at work in virtual time.
type bench struct {
	*Prober
	t     *testing.T
	told  []string
	at    []time.Duration // when, since the start
	noted atomic.Int32
	stop  context.CancelFunc
	done  chan struct{} // Run has returned
}

// probe is a check whose probe is a function of the test's.
func probe(name string, f func(ctx context.Context, address string) error) Check {
	return Check{
		Name: name, Probe: f, Interval: 5 * time.Second, Timeout: 2 * time.Second, InitialDelay: time.Second,
		FailureThreshold: 3, SuccessThreshold: 2,
	}
}

func run(t *testing.T, checks ...Check) *bench {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b := &bench{t: t, stop: cancel, done: make(chan struct{})}
	began := time.Now()
	b.Prober = New(checks, func() string { return "10.0.0.1:80" }, func(reason string) {
		b.told, b.at = append(b.told, reason), append(b.at, time.Since(began))
	}, func() { b.noted.Add(1) })
	go func() {
		defer close(b.done)
		b.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-b.done
	})
	return b
}

// pass lets time pass, until everything that is due has happened.
func (b *bench) pass(d time.Duration) {
	b.t.Helper()
	time.Sleep(d)
	synctest.Wait()
}

// health is a probe's answer that a test changes.
type health struct {
	sick atomic.Bool
	runs atomic.Int32
}

func (h *health) probe(context.Context, string) error {
	h.runs.Add(1)
	if h.sick.Load() {
		return errRefused
	}
	return nil
}

func TestAHealthyNodeIsNotTalkedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(health)
		b := run(t, probe("a", h.probe))
		b.pass(time.Hour)
		require.Empty(t, b.told)
		require.Equal(t, Passing, b.Status()[0].State)
		require.InDelta(t, 720, h.runs.Load(), 20)
	})
}

func TestASickNodeIsToldInTimeAndItsRecoveryToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(health)
		b := run(t, probe("tcp", h.probe))
		b.pass(time.Minute)
		h.sick.Store(true)
		b.pass(time.Minute)
		require.Equal(t, []string{`check "tcp": refused`}, b.told)
		require.InDelta(t, 13, (b.at[0] - time.Minute).Seconds(), 4, "two intervals, and a part of one")
		require.Equal(t, Failing, b.Status()[0].State)
		require.ErrorIs(t, b.Status()[0].Err, errRefused)

		h.sick.Store(false)
		b.pass(time.Minute)
		require.Equal(t, []string{`check "tcp": refused`, ""}, b.told)
		require.InDelta(t, 8, (b.at[1] - 2*time.Minute).Seconds(), 4, "one interval, and a part of one")
	})
}

func TestACheckThatHasNeverPassedOnlyShowsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(health)
		h.sick.Store(true)
		b := run(t, probe("a", h.probe))
		b.pass(time.Hour)
		require.Empty(t, b.told)
		status := b.Status()[0]
		require.Equal(t, NeverPassed, status.State)
		require.ErrorIs(t, status.Err, errRefused)
		require.Greater(t, status.Failures, 600)
	})
}

func TestOneSickCheckOfSeveralIsEnoughAndIsBlamedAsLongAsItFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := new(health), new(health)
		b := run(t, probe("first", first.probe), probe("second", second.probe))
		b.pass(time.Minute)
		second.sick.Store(true)
		b.pass(time.Minute)
		first.sick.Store(true)
		b.pass(time.Minute)
		second.sick.Store(false)
		b.pass(time.Minute)
		require.Equal(t, []string{`check "second": refused`, `check "first": refused`}, b.told)
		first.sick.Store(false)
		b.pass(time.Minute)
		require.Equal(t, []string{`check "second": refused`, `check "first": refused`, ""}, b.told)
	})
}

func TestANodeThatFlapsStaysOutForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(health)
		c := probe("a", h.probe)
		c.Interval, c.Timeout, c.FailureThreshold, c.SuccessThreshold = 100*time.Millisecond, 100*time.Millisecond, 1, 1
		b := run(t, c)
		b.pass(10 * time.Second)
		for range 8 {
			h.sick.Store(true)
			b.pass(time.Second)
			h.sick.Store(false)
			b.pass(90 * time.Second)
		}
		require.Len(t, b.told, 16)
		for i, least := range []float64{1, 5, 10, 20, 40, 60, 60, 60} {
			require.InDelta(t, least, (b.at[2*i+1] - b.at[2*i]).Seconds(), 0.3, "outage %d", i)
		}
	})
}

func TestAProbeThatKeepsToItsContextFailsWithItsOwnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		b := run(t, probe("a", func(ctx context.Context, address string) error {
			if !slow.Load() {
				return nil
			}
			began := time.Now()
			<-ctx.Done()
			return fmt.Errorf("dial %s: %w after %v", address, ctx.Err(), time.Since(began))
		}))
		b.pass(time.Minute)
		slow.Store(true)
		b.pass(time.Minute)
		require.Equal(t, []string{`check "a": dial 10.0.0.1:80: context deadline exceeded after 2s`}, b.told)
	})
}

func TestAPassAfterTheTimeoutIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, probe("a", func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return nil
		}))
		b.pass(time.Minute)
		require.Equal(t, NeverPassed, b.Status()[0].State)
		require.EqualError(t, b.Status()[0].Err, "timed out after 2s")
	})
}

// stuck is a probe that ignores its context while it is stuck.
type stuck struct {
	sick        atomic.Bool
	running, at atomic.Int32 // at most
	runs        atomic.Int32
	released    chan struct{}
}

func newStuck() *stuck { return &stuck{released: make(chan struct{})} }

func (s *stuck) probe(context.Context, string) error {
	s.runs.Add(1)
	s.at.Store(max(s.at.Load(), s.running.Add(1)))
	defer s.running.Add(-1)
	if s.sick.Load() {
		<-s.released
	}
	return nil
}

func TestAHungProbeFailsAtItsTimeoutAndAgainAtEachInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStuck()
		b := run(t, probe("a", s.probe))
		b.pass(time.Minute)
		s.sick.Store(true)
		runs := s.runs.Load()
		for s.runs.Load() == runs {
			b.pass(100 * time.Millisecond)
		}
		b.pass(2*time.Second + grace)
		require.Equal(t, 1, b.Status()[0].Failures)
		require.EqualError(t, b.Status()[0].Err, "timed out after 2s")
		b.pass(12 * time.Second) // two intervals and a part of one since
		require.Equal(t, 3, b.Status()[0].Failures)
		require.Len(t, b.told, 1)
		require.Regexp(t, `^check "a": has not returned for (11|12|13)s$`, b.told[0])
		b.pass(time.Hour)
		require.InDelta(t, 720, b.Status()[0].Failures, 20)
		require.Equal(t, runs+1, s.runs.Load(), "no other run begins")

		s.sick.Store(false)
		failures := b.Status()[0].Failures
		close(s.released)
		synctest.Wait()
		require.Equal(t, failures, b.Status()[0].Failures, "what it says now is of no use")
		b.pass(time.Minute)
		require.Equal(t, Passing, b.Status()[0].State)
		require.Len(t, b.told, 2)
		require.EqualValues(t, 1, s.at.Load(), "it never overlaps itself")
	})
}

func TestRunsDontOverlapWhenTheyTakeAllTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, runs atomic.Int32
		c := probe("a", func(ctx context.Context, _ string) error {
			runs.Add(1)
			defer running.Add(-1)
			if running.Add(1) > 1 {
				panic("it overlaps itself")
			}
			<-ctx.Done()
			time.Sleep(grace / 2)
			return ctx.Err()
		})
		c.Timeout = c.Interval
		b := run(t, c)
		b.pass(time.Hour)
		require.ErrorIs(t, b.Status()[0].Err, context.DeadlineExceeded)
		require.InDelta(t, 700, runs.Load(), 30)
	})
}

func TestAProbeThatPanicsOrEndsItsGoroutineFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t,
			probe("panics", func(context.Context, string) error { panic("no database") }),
			probe("nil", func(context.Context, string) error { panic(nil) }), //nolint:govet // it is what a probe may do
			probe("error", func(context.Context, string) error { panic(errRefused) }),
			probe("exits", func(context.Context, string) error {
				runtime.Goexit()
				return nil
			}),
		)
		b.pass(time.Minute)
		for i, text := range []string{
			"panic: no database",
			"panic: panic called with nil argument",
			"panic: refused",
			"ended its goroutine",
		} {
			require.EqualError(t, b.Status()[i].Err, text)
			require.Greater(t, b.Status()[i].Failures, 8, "and is run again")
		}
	})
}

func TestThatTheContextEndsIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := probe("a", func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		})
		c.FailureThreshold = 1
		b := run(t, c)
		b.pass(1500 * time.Millisecond)
		b.stop()
		synctest.Wait()
		<-b.done
		require.Empty(t, b.told)
		require.Equal(t, Status{Name: "a", State: Unknown, Since: b.Status()[0].Since}, b.Status()[0])
	})
}

func TestRunWaitsForAProbeButNotBeyondItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStuck()
		s.sick.Store(true)
		b := run(t, probe("a", s.probe))
		b.pass(1200 * time.Millisecond) // it began 0.1 to 0.3 s ago
		stopped := time.Now()
		b.stop()
		<-b.done
		require.InDelta(t, 1.9, time.Since(stopped).Seconds(), 0.2, "what is left of its time")

		b = run(t, probe("a", s.probe))
		b.pass(time.Minute)
		stopped = time.Now()
		b.stop()
		<-b.done
		require.Zero(t, time.Since(stopped), "its time is over")
		close(s.released)
	})
}

func TestTellIsCalledOnceAtATimeAndWithoutAMutex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(health)
		var told []string
		blocked, calling := make(chan struct{}), false
		var p *Prober
		p = New([]Check{probe("a", h.probe)}, func() string { return "" }, func(reason string) {
			require.False(t, calling)
			calling = true
			told = append(told, fmt.Sprintf("%s (%s)", reason, p.Status()[0].State))
			<-blocked
			calling = false
		}, func() { p.Status() })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.Run(ctx)
		}()
		for range 3 { // sick, well, sick, well, sick: while the first call is under way
			time.Sleep(time.Minute)
			h.sick.Store(true)
			time.Sleep(time.Minute)
			h.sick.Store(false)
		}
		synctest.Wait()
		require.Equal(t, []string{`check "a": refused (failing)`}, told)
		time.Sleep(time.Minute)
		close(blocked)
		synctest.Wait()
		require.Equal(t, []string{`check "a": refused (failing)`, " (passing)"}, told, "what became of it meanwhile")
		cancel()
		<-done
	})
}

func TestChecksOfAFleetComeApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var began []time.Time
		b := run(t, probe("a", func(context.Context, string) error {
			began = append(began, time.Now())
			return nil
		}))
		start := time.Now()
		b.pass(time.Hour)
		require.InDelta(t, 1, began[0].Sub(start).Seconds(), 0.1)
		different := make(map[time.Duration]bool)
		for i := range began[1:] {
			interval := began[i+1].Sub(began[i])
			require.InDelta(t, 5, interval.Seconds(), 0.5)
			different[interval] = true
		}
		require.Greater(t, len(different), 600)
	})
}

func TestEachRunAsksForTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		var met []string
		p := New([]Check{probe("a", func(_ context.Context, address string) error {
			met = append(met, address)
			return errors.New("away")
		})}, func() string {
			asked++
			return fmt.Sprintf("10.0.0.%d:80", asked)
		}, func(string) {}, func() {})
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		p.Run(ctx)
		require.Equal(t, []string{"10.0.0.1:80", "10.0.0.2:80"}, met)
	})
}

func TestAStateAndACheckThatNeverPassesAreNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(health)
		h.sick.Store(true)
		b := run(t, probe("a", h.probe))
		for _, c := range []struct {
			sick  bool
			noted int32 // so far
		}{{true, 1}, {true, 1}, {false, 2}, {false, 2}, {true, 3}, {false, 4}} {
			h.sick.Store(c.sick)
			time.Sleep(time.Minute)
			require.Equal(t, c.noted, b.noted.Load())
		}
	})
}

func TestWithoutChecksThereIsNothingToTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t)
		b.pass(time.Hour)
		require.Empty(t, b.told)
		require.Empty(t, b.Status())
	})
}
