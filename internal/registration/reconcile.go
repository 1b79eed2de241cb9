package registration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/etcderr"
	"github.com/micro-etcd/micro-etcd/internal/lease"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// This file is the loop that makes etcd agree with what is desired: all of it is for the registration's goroutine.

// run ends when nothing of ours is desired and nothing is there, or with ctx.
func (g *registration) run(ctx context.Context) {
	defer g.stop()
	for failures := 0; ; {
		round, d := g.begin(ctx)
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
	g.stopWatch()
	for _, l := range g.leases() {
		l.Stop()
	}
}

// wait waits for a reason to reconcile again. One that etcd gave is a disturbance: whoever keeps deleting the key
// mustn't make us write it without a pause. An error is that of a watch that failed.
func (g *registration) wait(ctx context.Context) (disturbed bool, err error) {
	var lost, refused, ready <-chan struct{}
	if g.lease != nil {
		lost, refused = g.lease.Lost, g.lease.Refused
	}
	if g.watch != nil {
		ready = g.watch.Ready()
	}
	for {
		select {
		case <-ctx.Done():
		case <-g.wake:
		case <-lost:
			g.resync(metrics.RestoreLeaseLost)
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

// watchFailed takes note of why the watch of the key has ended. If etcd didn't even open it, that is a trouble of its
// own.
func (g *registration) watchFailed(err error, wasOpen bool) error {
	g.stopWatch() // so that the key is read again
	g.setCause(metrics.RestoreWatchEnded)
	if !wasOpen && (etcderr.IsAnswer(err) || errors.Is(err, etcdconn.ErrUnconfirmed)) {
		g.setWatchError(fmt.Errorf("watch: %w", err))
	}
	return err
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
	err = g.revokeRetired(ctx)
	g.fulfilled(d)
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
	switch {
	case fresh:
		return g.claim(ctx, d)
	case !settled || g.watch == nil:
		return g.restore(ctx, d)
	}
	return nil
}

// maxOrphans bounds the leases that are remembered to be given back although nobody knows that they are there. Nothing
// hangs on them, and they go with their TTL.
const maxOrphans = 8

// dropOrphans gives back leases that may be there, as far as it can. A grant that was aborted a moment ago may still be
// on its way, so those that aren't there are looked for once more, unless the network is slow anyway.
func (g *registration) dropOrphans(ctx context.Context) {
	for began := time.Now(); len(g.orphans) > 0 && g.shared.Connector.IsConnected(); {
		left := make([]int64, 0, len(g.orphans))
		failed := false
		var mu sync.Mutex
		var asking sync.WaitGroup
		for _, id := range g.orphans {
			asking.Go(func() {
				found, err := g.shared.leases.Revoke(ctx, id)
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
		retry.Sleep(ctx, retry.Base)
	}
}

// ensureLease sees to it that there is a living lease of its TTL, which etcd doesn't refuse to renew.
func (g *registration) ensureLease(ctx context.Context, d *desired) error {
	if l := g.lease; l != nil {
		switch {
		case isClosed(l.Lost):
			g.forgetLease()
		case isClosed(l.Refused):
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
	g.resync(cause)
}

// forgetLease drops a lease that is gone, and with it what we know of the key.
func (g *registration) forgetLease() {
	if !isClosed(g.lease.Lost) {
		g.shared.Connector.Metrics.Leases.Add(metrics.LeaseLost)
	}
	g.lease.Stop()
	g.setLease(nil)
	g.resync(metrics.RestoreLeaseLost)
}

func (g *registration) leaseID() int64 {
	if g.lease == nil {
		return int64(clientv3.NoLease)
	}
	return g.lease.ID
}

// claim writes the record whoever has the key: for what is newly desired.
func (g *registration) claim(ctx context.Context, d *desired) error {
	guard := absent(g.key)
	if revision, ok := g.own(); ok {
		guard = unchanged(g.key, revision)
	}
	return g.write(ctx, d, guard, true)
}

// restore writes the record unless it is there, or somebody else has the key.
func (g *registration) restore(ctx context.Context, d *desired) error {
	answer, err := etcdconn.Get(ctx, g.shared.Connector, g.key)
	if err != nil {
		return err
	}
	o, at, guard := g.inspect(answer.Kvs, d)
	if o != ownerUnknown {
		g.found(o, at)
		g.from = answer.Header.Revision + 1
		return nil
	}
	return g.write(ctx, d, guard, false)
}

// inspect says whose the key is by what was read of it, since which revision, and under which guard it may be
// overwritten.
func (g *registration) inspect(kvs []*mvccpb.KeyValue, d *desired) (o owner, at int64, guard clientv3.Cmp) {
	if len(kvs) == 0 {
		return ownerUnknown, 0, absent(g.key)
	}
	return g.classify(kvs[0], d), kvs[0].ModRevision, unchanged(g.key, kvs[0].ModRevision)
}

// write writes the record if the guard holds. Else it looks at what is there: a claim overwrites anything but the
// record itself, which a try before has written.
func (g *registration) write(ctx context.Context, d *desired, guard clientv3.Cmp, claim bool) error {
	for {
		answer, err := g.put(ctx, d, guard)
		if err != nil {
			return err
		}
		o, at := ownerSelf, answer.Header.Revision
		if !answer.Succeeded {
			o, at, guard = g.inspect(answer.Responses[0].GetResponseRange().Kvs, d)
		}
		switch {
		case o == ownerSelf:
			if !claim {
				g.restored()
			}
			g.wrote(d, at)
			return nil
		case o == ownerOther && !claim:
			g.found(o, at)
			g.from = answer.Header.Revision + 1
			return nil
		}
	}
}

// put writes the desired value if the guard holds, and else returns what is there.
func (g *registration) put(ctx context.Context, d *desired, guard clientv3.Cmp) (*clientv3.TxnResponse, error) {
	op := clientv3.OpPut(g.key, string(d.value), clientv3.WithLease(clientv3.LeaseID(g.leaseID())))
	answer, err := etcdconn.Txn(ctx, g.shared.Connector, func(t clientv3.Txn) clientv3.Txn {
		return t.If(guard).Then(op).Else(clientv3.OpGet(g.key))
	})
	return answer, tooLarge(err, len(d.value))
}

// tooLarge turns the ways in which etcd and gRPC refuse a big request into ErrTooLarge.
func tooLarge(err error, size int) error {
	if !etcderr.IsTooLarge(err) {
		return err
	}
	return fmt.Errorf("%w: %d bytes: %w", ErrTooLarge, size, err)
}

// own returns at which revision our record was written last, if it is known to be there.
func (g *registration) own() (revision int64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.revision, g.owner == ownerSelf
}

// wrote takes note of a put that etcd has acknowledged.
func (g *registration) wrote(d *desired, revision int64) {
	g.acknowledged(revision)
	g.from = revision + 1
	written := *d.record
	written.Revision, written.Lease = revision, g.leaseID()
	g.shared.Put(&written)
}

// classify says whose a value at our key is; unknown stands for one that we may overwrite: our own out of date, or off
// its lease, or one that stands for nobody, because it is no record, or another node's.
func (g *registration) classify(kv *mvccpb.KeyValue, d *desired) owner {
	same := bytes.Equal(kv.Value, d.value)
	switch {
	case same && kv.Lease == g.leaseID():
		return ownerSelf
	case g.shared.leases.Owns(kv.Lease), same && kv.Lease == int64(clientv3.NoLease):
		return ownerUnknown
	}
	record, err := g.decoder.Decode(string(kv.Key), kv.ModRevision, kv.Value)
	if err != nil || !record.HasOwnKey() {
		return ownerUnknown
	}
	return ownerOther
}

// leases returns those that the key may hang on.
func (g *registration) leases() []*lease.Lease {
	if g.lease == nil {
		return g.retired
	}
	return append(slices.Clone(g.retired), g.lease)
}

// remove deletes what is ours at the key, and gives back the leases that it may hang on. With them gone nothing can
// land any more that hangs on one. Their end suffices where deleting isn't permitted any more.
func (g *registration) remove(ctx context.Context) error {
	g.stopWatch()
	g.retired = g.leases()
	g.setLease(nil)
	for _, l := range g.retired {
		l.Stop()
	}
	if len(g.retired) == 0 && !g.cleanupOnly {
		return nil
	}
	guard := clientv3.Compare(clientv3.CreateRevision(g.key), "<", 0) // never: what is there has to be looked at
	if len(g.retired) > 0 {
		last := g.retired[len(g.retired)-1]
		guard = clientv3.Compare(clientv3.LeaseValue(g.key), "=", last.ID)
	}
	err := g.deleteKey(ctx, guard)
	if revokeErr := g.revokeRetired(ctx); revokeErr != nil {
		return errors.Join(err, revokeErr)
	}
	if g.cleanupOnly {
		return err
	}
	return nil
}

// deleteKey deletes the key if the guard holds, or if it turns out to hang on another lease of ours: that one came back
// with a snapshot, and ends too.
func (g *registration) deleteKey(ctx context.Context, guard clientv3.Cmp) error {
	s, restored := g.shared, int64(clientv3.NoLease)
	for {
		answer, err := etcdconn.Txn(ctx, s.Connector, func(t clientv3.Txn) clientv3.Txn {
			return t.If(guard).Then(clientv3.OpDelete(g.key)).Else(clientv3.OpGet(g.key, clientv3.WithKeysOnly()))
		})
		if err != nil {
			return err
		}
		if answer.Succeeded {
			s.Deleted(g.key, answer.Header.Revision)
			if restored == int64(clientv3.NoLease) {
				return nil
			}
			_, err = s.leases.Revoke(ctx, restored)
			return err
		}
		kvs := answer.Responses[0].GetResponseRange().Kvs
		if len(kvs) == 0 || !s.leases.Owns(kvs[0].Lease) {
			return nil
		}
		restored = kvs[0].Lease
		guard = unchanged(g.key, kvs[0].ModRevision)
	}
}

// revokeRetired gives back the leases that the key no longer hangs on.
func (g *registration) revokeRetired(ctx context.Context) error {
	for len(g.retired) > 0 {
		l := g.retired[0]
		if !isClosed(l.Lost) {
			if _, err := g.shared.leases.Revoke(ctx, l.ID); err != nil {
				return err
			}
		}
		l.Stop()
		g.retired = g.retired[1:]
	}
	return nil
}

// startWatch watches the key from what is known of it on, unless it is watched already.
func (g *registration) startWatch() {
	if g.watch != nil {
		return
	}
	cl := g.shared.Connector.Current()
	if cl == nil { // replaced a moment ago
		g.resync(metrics.RestoreClientReplaced)
		g.wake.Send()
		return
	}
	g.watch = g.shared.Connector.Watch(cl, g.key, "", g.from)
}

func (g *registration) stopWatch() {
	if g.watch != nil {
		g.watch.Close()
		g.watch = nil
	}
}

// observe takes in what happened to the key, and reports whether there is nothing to repair.
func (g *registration) observe(events []*clientv3.Event) (well bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range events {
		if e.Kv.ModRevision <= g.revision {
			continue
		}
		o, cause := ownerUnknown, metrics.RestoreDeleted
		if e.Type == clientv3.EventTypePut {
			o, cause = g.classify(e.Kv, g.desired), metrics.RestoreOverwritten
		}
		if g.owner == ownerOther {
			cause = metrics.RestoreOwnerLeft
		}
		if o == ownerUnknown {
			g.resyncLocked(cause)
		}
		g.foundLocked(o, e.Kv.ModRevision)
	}
	return g.owner != ownerUnknown
}
