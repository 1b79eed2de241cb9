package etcd

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	backoffBase = 50 * time.Millisecond
	// backoffMax keeps the promise that a record is back within a second of etcd being
	// able to take it: the longest wait, and a round trip.
	backoffMax = 800 * time.Millisecond
)

// backoffRefused is the longest wait after an error that only an administrator can mend. It
// is long because an authentication costs etcd a bcrypt and a raft proposal.
const backoffRefused = 15 * time.Second

// backoff returns how long to wait after a number of failures in a row, the last one with
// err: it doubles up to a limit, and half of it is random, so that a fleet doesn't retry in step.
func backoff(failures int, err error) time.Duration {
	limit := backoffMax
	if isRefused(err) {
		limit = backoffRefused
	}
	d := min(backoffBase<<min(max(failures-1, 0), 16), limit)
	return d/2 + rand.N(d/2)
}

// pause waits for d, unless ctx ends or something is asked for before.
func pause(ctx context.Context, d time.Duration, asked <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-asked:
	case <-ctx.Done():
	}
}
