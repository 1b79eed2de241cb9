package etcd

import (
	"context"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/retry"
)

const (
	backoffBase    = retry.Base
	backoffMax     = retry.Max
	backoffRefused = retry.MaxRefused
)

// steadyTime is how long something must have gone well to count as health.
const steadyTime = 10 * time.Second

// backoff returns how long to wait after a number of failures in a row, the last one with err.
func backoff(failures int, err error) time.Duration { return retry.Backoff(failures, err) }

// pause waits for d, unless ctx ends or something is asked for before.
func pause(ctx context.Context, d time.Duration, asked <-chan struct{}) {
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
