// Package retry says how long to wait before etcd is asked again.
package retry

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/etcderr"
)

const (
	// Base is the longest wait after a first failure.
	Base = 50 * time.Millisecond
	// Max keeps the promise that a record is back within a second of etcd being able to take it: the longest wait, and
	// a round trip.
	Max = 800 * time.Millisecond
	// MaxRefused is the longest wait after an error that only an administrator can repair. It is long because an
	// authentication costs etcd a bcrypt and a raft proposal.
	MaxRefused = 15 * time.Second
)

// Backoff returns how long to wait after a number of failures in a row, the last one with err. It doubles up to a
// limit, and half of it is random, so that a fleet doesn't retry in step.
func Backoff(failures int, err error) time.Duration {
	limit := Max
	if etcderr.IsRefused(err) {
		limit = MaxRefused
	}
	d := min(Base<<min(max(failures-1, 0), 16), limit)
	return d/2 + rand.N(d/2)
}

// Steady is how long something must have gone well for its earlier failures to count no more.
const Steady = 10 * time.Second

// Sleep waits for d, unless ctx ends before.
func Sleep(ctx context.Context, d time.Duration) { Pause[struct{}](ctx, d, nil) }

// Pause waits for d, unless ctx ends before, or something is asked for. A nil channel never asks.
func Pause[T any](ctx context.Context, d time.Duration, asked <-chan T) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-asked:
	case <-ctx.Done():
	}
}
