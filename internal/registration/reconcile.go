package registration

import (
	"cmp"
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/retry"
	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// This file is the loop that makes etcd agree with what is desired: all of it is for the registration's goroutine.

// run ends when nothing of ours is desired and nothing is there, or with ctx.
func (g *registration) run(ctx context.Context) {
	defer g.stop()
	for failures := 0; ; {
		round, d := g.begin(ctx)
		g.runChecks(ctx, d)
		taken, err := g.reconcile(round, d)
		if ctx.Err() != nil {
			return
		}
		var over bool
		if over, err = g.settle(round, d, err); over {
			return
		}
		if taken {
			g.startWatch()
		}
		began, disturbed := time.Now(), false
		if err == nil {
			disturbed, err = g.wait(ctx)
		}
		if time.Since(began) > retry.Steady {
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

// maxPacing bounds how much we slow down for somebody who keeps disturbing the key: at most 400 ms, since the record
// must be back within a second each time.
const maxPacing = 4

// stop leaves a lease that there may be to the end of its TTL.
func (g *registration) stop() {
	g.stopChecks()
	g.stopWatch()
	for _, l := range g.leases() {
		l.Stop()
	}
}

// wait waits for a reason to reconcile again. One that etcd gave is a disturbance: whoever keeps deleting the key
// mustn't make us write it without a pause. An error is that of a watch that failed.
func (g *registration) wait(ctx context.Context) (disturbed bool, err error) {
	var lost, refused <-chan struct{}
	if g.lease != nil {
		lost, refused = g.lease.Lost, g.lease.Refused
	}
	due, stop := g.due()
	defer stop()
	for {
		var w *etcdconn.Watch
		select {
		case <-ctx.Done():
		case <-g.wake:
		case <-due:
		case <-lost:
			g.resync(metrics.RestoreLeaseLost)
			return true, nil
		case <-refused: // the key is needed on another lease
			return true, nil
		case <-ready(g.watch):
			w = g.watch
		case <-ready(g.noticeWatch):
			w = g.noticeWatch
		}
		if w == nil {
			return false, nil
		}
		if disturbed, err = g.take(w); disturbed || err != nil {
			return disturbed, err
		}
	}
}

// reconcile makes etcd agree with what is desired, once. taken says whether etcd has the record, or another owner's,
// and that its key is to be watched from what was found there.
func (g *registration) reconcile(ctx context.Context, d *desired) (taken bool, err error) {
	if err := g.shared.slots.Acquire(ctx, 1); err != nil {
		return false, g.shared.Connector.Failure(ctx, err)
	}
	defer g.shared.slots.Release(1)
	defer g.dropOrphans(ctx)
	if d.record == nil {
		return false, g.remove(ctx)
	}
	g.checkRollback()
	if err = g.fulfill(ctx, d); g.forgetIfLost(err) {
		err = g.fulfill(ctx, d)
		g.forgetIfLost(err) // again: there may be two etcds, and one grants what the other doesn't know
	}
	if err != nil {
		return false, err
	}
	g.fulfilled(d)
	return true, g.revokeRetired(ctx)
}

// forgetIfLost forgets the lease if etcd says that there is no such lease, and reports whether it does.
func (g *registration) forgetIfLost(err error) bool {
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) || g.lease == nil {
		return false
	}
	g.forgetLease()
	return true
}

// checkRollback acts on the suspicion that etcd was rolled back.
func (g *registration) checkRollback() {
	g.mu.Lock()
	rolledBack := g.rollbackSuspected
	if rolledBack {
		g.rollbackSuspected, g.revision = false, 0
	}
	g.mu.Unlock()
	if !rolledBack {
		return
	}
	g.stopWatch()
	if g.lease != nil {
		g.lease.Check()
	}
}

func (g *registration) fulfill(ctx context.Context, d *desired) error {
	if err := g.ensureLease(ctx, d); err != nil {
		return err
	}
	g.mu.Lock()
	fresh, settled := g.applied != d, g.owner != ownerUnknown
	g.mu.Unlock()
	var err error
	switch {
	case fresh:
		err = g.claim(ctx, d)
	case !settled || g.watch == nil:
		err = g.restore(ctx, d)
	}
	if err != nil {
		return err
	}
	return g.place(ctx, d)
}

// maxOrphans bounds the leases that are remembered to be given back although nobody knows that they are there. Nothing
// hangs on them, and they go with their TTL.
const maxOrphans = 8

// dropOrphans gives back leases that may be there, as far as it can. A grant that was aborted a moment ago may still be
// on its way, so those that aren't there are looked for once more, unless the network is slow anyway.
func (g *registration) dropOrphans(ctx context.Context) {
	for began := time.Now(); len(g.orphans) > 0 && g.shared.Connector.IsConnected(); {
		var failed error
		left := make([]int64, 0, len(g.orphans))
		g.revokeEach(ctx, g.orphans, func(i int, found bool, err error) {
			if failed = cmp.Or(failed, err); !found {
				left = append(left, g.orphans[i])
			}
		})
		g.orphans = left
		if failed != nil {
			return
		}
		if time.Since(began) >= retry.Base {
			g.orphans = nil
			return
		}
		retry.Sleep(ctx, retry.Base)
	}
}

// ensureLease sees to it that there is a living lease of its TTL, which etcd doesn't refuse to renew.
func (g *registration) ensureLease(ctx context.Context, d *desired) error {
	if l := g.lease; l != nil {
		switch {
		case signal.IsClosed(l.Lost):
			g.forgetLease()
		case signal.IsClosed(l.Refused):
			g.replaceLease(metrics.RestoreLeaseRefused)
		case l.Seconds == d.seconds:
			return nil
		default:
			g.replaceLease(metrics.RestoreRepeated)
		}
	}
	l, left, err := g.shared.leases.Grant(ctx, d.seconds)
	g.orphans = append(g.orphans, left...)
	g.orphans = g.orphans[max(0, len(g.orphans)-maxOrphans):]
	if err != nil {
		return err
	}
	g.setLease(l)
	return nil
}

// replaceLease has the key put on another lease. The old one is given back when it is there: until then the record
// lives on it.
func (g *registration) replaceLease(cause metrics.RestoreCause) {
	g.retired = append(g.retired, g.lease)
	g.setLease(nil)
	g.resync(cause)
}

// forgetLease drops a lease that is gone, and with it what we know of the key.
func (g *registration) forgetLease() {
	if !signal.IsClosed(g.lease.Lost) {
		g.shared.Connector.Metrics.Leases.Add(metrics.LeaseLost)
	}
	g.lease.Stop()
	g.setLease(nil)
	g.resync(metrics.RestoreLeaseLost)
}

// claim writes the record whoever has the key: for what is newly desired.
func (g *registration) claim(ctx context.Context, d *desired) error {
	o, at := g.current()
	return g.write(ctx, d, o, at, true)
}

// restore writes the record unless it is there, or somebody else has the key.
func (g *registration) restore(ctx context.Context, d *desired) error {
	at, _, err := g.shared.read(ctx, g.key)
	if err != nil {
		return err
	}
	o := g.inspect(at, d)
	switch {
	case o == ownerNotice && at.record != nil: // junk
	case o != ownerUnknown:
		return g.accept(ctx, o, at)
	case at.record == nil && at.notice == nil && g.isSick():
		return g.leave(ctx, d) // or write it, if it must stay
	}
	return g.write(ctx, d, o, at, false)
}
