package prober

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// grace is how long a probe may take to return after its context has ended. Its own error says more than ours, which
// is only that it timed out.
const grace = 100 * time.Millisecond

// runOnce runs a check once, until the probe returns, records results, and says when the next run is due. While a probe
// that has timed out doesn't return, each interval is another failure. After the end of ctx it waits no longer than the
// timeout.
func runOnce(ctx context.Context, c Check, address func() string, record func(error)) (next time.Time) {
	began := time.Now()
	next = began.Add(jittered(c.Interval))
	bounded, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	returned := startProbe(bounded, c, address)

	select {
	case err := <-returned:
		record(inTime(bounded, c, err))
		return next
	case <-bounded.Done():
	}
	// If ctx has ended, too, the probe keeps what is left of its time.
	late := time.NewTimer(time.Until(began.Add(c.Timeout + grace)))
	defer late.Stop()
	select {
	case err := <-returned:
		record(inTime(bounded, c, err))
		return next
	case <-late.C:
		record(timedOut(c))
	}
	return awaitHung(ctx, c, record, began, returned)
}

// awaitHung waits for a probe that has timed out. Its result no longer counts: the run has failed already.
func awaitHung(
	ctx context.Context, c Check, record func(error), began time.Time, returned <-chan error,
) (next time.Time) {
	for {
		next = time.Now().Add(jittered(c.Interval))
		again := time.NewTimer(time.Until(next))
		select {
		case <-again.C:
			record(fmt.Errorf("has not returned for %v", rounded(time.Since(began))))
			continue
		case <-returned: //nolint:errcheck // the run has failed already
		case <-ctx.Done():
		}
		again.Stop()
		return next
	}
}

// startProbe calls a probe. It sends exactly one result, whatever the probe does, unless that hangs.
func startProbe(ctx context.Context, c Check, address func() string) <-chan error {
	returned := make(chan error, 1)
	go func() {
		err := errors.New("ended its goroutine") // it called runtime.Goexit
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panic: %v", v)
			}
			returned <- err
		}()
		if err = c.Probe(ctx, address()); err != nil {
			err = failure{err, err.Error()}
		}
	}()
	return returned
}

// failure is a probe's error whose text was asked for where it does no harm: it may panic or hang, too.
type failure struct {
	error
	text string
}

func (f failure) Error() string { return f.text }
func (f failure) Unwrap() error { return f.error }

// inTime returns a run's result, which is a failure after its time.
func inTime(bounded context.Context, c Check, err error) error {
	if err == nil && bounded.Err() != nil {
		return timedOut(c)
	}
	return err
}

func timedOut(c Check) error { return fmt.Errorf("timed out after %v", c.Timeout) }

func rounded(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Truncate(time.Millisecond)
	}
	return d.Truncate(time.Second)
}

// jittered returns d, a tenth more or less at random, so that a fleet's checks don't march in step.
func jittered(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d - d/10 + rand.N(d/5+1)
}
