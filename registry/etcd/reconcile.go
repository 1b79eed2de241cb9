package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// run is the registration's goroutine. It ends when nothing of ours is wished for and
// nothing is there, or with ctx.
func (g *registration) run(ctx context.Context) {
	defer g.stop()
	for failures := 0; ; {
		round, w := g.begin(ctx)
		taken, err := g.round(round, w)
		if ctx.Err() != nil {
			return
		}
		var over bool
		if over, err = g.settle(round, w, err); over {
			return
		}
		if taken {
			g.follow()
		}
		began, disturbed := time.Now(), false
		if err == nil {
			disturbed, err = g.rest(ctx)
		}
		if time.Since(began) > steadyTime {
			failures = 0
		}
		switch {
		case err != nil:
			failures++
			retry.Pause(ctx, retry.Backoff(failures, err), g.wake)
		case disturbed:
			failures = min(failures+1, maxPacing)
			retry.Pause(ctx, retry.Backoff(failures, nil), g.wake)
		}
	}
}

// steadyTime is how long something must have gone well to count as health.
const steadyTime = 10 * time.Second

// maxPacing bounds how much we slow down for somebody who keeps disturbing the key: at most 400 ms,
// since the record must be back within a second each time.
const maxPacing = 4

// stop leaves a lease that there may be to the end of its TTL.
func (g *registration) stop() {
	g.unfollow()
	for _, l := range g.leases() {
		l.stop()
	}
}

// rest waits for a reason to reconcile again. One that etcd gave is a disturbance: whoever keeps
// deleting the key mustn't make us write it without a pause. An error is that of a watch that failed.
func (g *registration) rest(ctx context.Context) (disturbed bool, err error) {
	var lost, refused, ready <-chan struct{}
	if g.lease != nil {
		lost, refused = g.lease.lost, g.lease.refused
	}
	if g.watch != nil {
		ready = g.watch.Ready()
	}
	for {
		select {
		case <-ctx.Done():
		case <-g.wake:
		case <-lost:
			g.invalidate(metrics.RestoreLeaseLost)
			return true, nil
		case <-refused: // the key is needed on another lease
			return true, nil
		case <-ready:
			events, open, err := g.watch.Take()
			if err != nil {
				return false, g.watchFailed(err, open)
			}
			if open {
				g.setWatchError(nil)
			}
			if !g.observe(events) {
				return true, nil
			}
			continue
		}
		return false, nil
	}
}

// watchFailed takes note of why the watch of the key has ended. If etcd didn't even open it, that is a trouble of its own.
func (g *registration) watchFailed(err error, wasOpen bool) error {
	g.unfollow() // so that the key is read again
	g.setCause(metrics.RestoreWatchEnded)
	if !wasOpen && (etcdconn.IsAnswer(err) || errors.Is(err, etcdconn.ErrUnconfirmed)) {
		g.setWatchError(fmt.Errorf("watch: %w", err))
	}
	return err
}

// round makes etcd agree with the wish, once. taken says whether etcd has the record, or another
// owner's, and that its key is to be watched from what was found there.
func (g *registration) round(ctx context.Context, w *wish) (taken bool, err error) {
	if err := g.registrar.slots.Acquire(ctx, 1); err != nil {
		return false, g.registrar.connector.Failure(ctx, err)
	}
	defer g.registrar.slots.Release(1)
	defer g.dropOrphans(ctx)
	if w.record == nil {
		return false, g.remove(ctx)
	}
	g.checkRollback()
	if err = g.fulfill(ctx, w); g.forgetIfLost(err) {
		err = g.fulfill(ctx, w)
		g.forgetIfLost(err) // again: there may be two etcds, and one grants what the other doesn't know
	}
	if err != nil {
		return false, err
	}
	err = g.retire(ctx)
	g.fulfilled(w)
	return true, err
}

// forgetIfLost forgets the lease if etcd says that there is no such lease, and reports whether it does.
func (g *registration) forgetIfLost(err error) bool {
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) || g.lease == nil {
		return false
	}
	g.forgetLease()
	return true
}

// checkRollback acts on a doubt about etcd's data.
func (g *registration) checkRollback() {
	g.mu.Lock()
	rolledBack := g.rolledBack
	if rolledBack {
		g.rolledBack, g.revision = false, 0
	}
	g.mu.Unlock()
	if !rolledBack {
		return
	}
	g.unfollow()
	if g.lease != nil {
		g.lease.check()
	}
}

func (g *registration) fulfill(ctx context.Context, w *wish) error {
	if err := g.ensureLease(ctx, w); err != nil {
		return err
	}
	g.mu.Lock()
	fresh, settled := g.applied != w, g.holder != unknown
	g.mu.Unlock()
	switch {
	case fresh:
		return g.claim(ctx, w)
	case !settled || g.watch == nil:
		return g.restore(ctx, w)
	}
	return nil
}

// maxOrphans bounds the leases that are remembered to be given back although nobody knows that they are there. Nothing hangs
// on them, and they go with their TTL.
const maxOrphans = 8

// dropOrphans gives back leases that may be there, as far as it can. A grant that was aborted a moment ago may still be on
// its way, so those that aren't there are looked for once more, unless the network is slow anyway.
func (g *registration) dropOrphans(ctx context.Context) {
	for began := time.Now(); len(g.orphans) > 0 && g.registrar.connector.IsConnected(); {
		left := make([]int64, 0, len(g.orphans))
		failed := false
		var mu sync.Mutex
		var asking sync.WaitGroup
		for _, id := range g.orphans {
			asking.Go(func() {
				found, err := g.registrar.leases.end(ctx, id)
				mu.Lock()
				defer mu.Unlock()
				if failed = failed || err != nil; !found {
					left = append(left, id)
				}
			})
		}
		asking.Wait()
		g.orphans = left
		if failed {
			return
		}
		if time.Since(began) >= retry.Base {
			g.orphans = nil
			return
		}
		retry.Pause[struct{}](ctx, retry.Base, nil)
	}
}

// ensureLease gives the wish a living lease of its TTL, which etcd doesn't refuse to renew.
func (g *registration) ensureLease(ctx context.Context, w *wish) error {
	if l := g.lease; l != nil {
		switch {
		case isClosed(l.lost):
			g.forgetLease()
		case isClosed(l.refused):
			g.replaceLease(metrics.RestoreLeaseRefused)
		case l.seconds == w.seconds:
			return nil
		default:
			g.replaceLease(metrics.RestoreRepeated)
		}
	}
	l, left, err := g.registrar.leases.grant(ctx, w.seconds)
	g.orphans = append(g.orphans, left...)
	g.orphans = g.orphans[max(0, len(g.orphans)-maxOrphans):]
	if err != nil {
		return err
	}
	g.setLease(l)
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// replaceLease has the key put on another lease. The old one is given back when it is there: until then the record
// lives on it.
func (g *registration) replaceLease(cause metrics.RestoreCause) {
	g.retired = append(g.retired, g.lease)
	g.setLease(nil)
	g.invalidate(cause)
}

// forgetLease drops a lease that is gone, and with it what we know of the key.
func (g *registration) forgetLease() {
	if !isClosed(g.lease.lost) {
		g.registrar.metrics.Leases.Add(metrics.LeaseLost)
	}
	g.lease.stop()
	g.setLease(nil)
	g.invalidate(metrics.RestoreLeaseLost)
}
