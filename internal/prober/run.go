package prober

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// grace is how long a probe may take to return after its context has ended. Its own error says more than ours, which
// is only that it timed out.
const grace = 100 * time.Millisecond

// run runs a check once, until the probe returns, and says when the next run is due. While a probe that has timed out
// doesn't return, each interval is another failure. After the end of ctx, run waits no longer than the timeout.
func (p *Prober) run(ctx context.Context, check int) (next time.Time) {
	c := p.checks[check]
	began := time.Now()
	next = began.Add(jittered(c.Interval))
	bounded, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	returned := p.start(bounded, c)

	select {
	case err := <-returned:
		p.record(ctx, check, inTime(bounded, c, err))
		return next
	case <-bounded.Done():
	}
	// If ctx has ended, too, the probe keeps what is left of its time.
	late := time.NewTimer(time.Until(began.Add(c.Timeout + grace)))
	defer late.Stop()
	select {
	case err := <-returned:
		p.record(ctx, check, inTime(bounded, c, err))
		return next
	case <-late.C:
		p.record(ctx, check, timedOut(c))
	}
	return p.awaitHung(ctx, check, began, returned)
}

// awaitHung waits for a probe that has timed out. Its result no longer counts: the run has failed already.
func (p *Prober) awaitHung(ctx context.Context, check int, began time.Time, returned <-chan error) (next time.Time) {
	c := p.checks[check]
	for {
		next = time.Now().Add(jittered(c.Interval))
		again := time.NewTimer(time.Until(next))
		select {
		case <-again.C:
			p.record(ctx, check, fmt.Errorf("has not returned for %v", rounded(time.Since(began))))
			continue
		case <-returned: //nolint:errcheck // the run has failed already
		case <-ctx.Done():
		}
		again.Stop()
		return next
	}
}

// start calls a probe. It sends exactly one result, whatever the probe does, unless that hangs.
func (p *Prober) start(ctx context.Context, c Check) <-chan error {
	returned := make(chan error, 1)
	go func() {
		err := errors.New("ended its goroutine") // it called runtime.Goexit
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panic: %v", v)
			}
			returned <- err
		}()
		if err = c.Probe(ctx, p.address()); err != nil {
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
