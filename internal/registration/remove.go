package registration

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/lease"
	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// This file is how a registration removes what is its own from etcd.

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
	g.forgetNotice()
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
		guard = unchanged(g.key, kvs[0])
	}
}

// maxRevoking bounds the leases of a key that are given back at one time.
const maxRevoking = 16

// revokeEach gives back leases, and tells of one after the other how that went, in no order.
func (g *registration) revokeEach(ctx context.Context, ids []int64, tell func(i int, found bool, err error)) {
	var mu sync.Mutex
	var asking errgroup.Group
	asking.SetLimit(maxRevoking)
	for i, id := range ids {
		asking.Go(func() error {
			found, err := g.shared.leases.Revoke(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			tell(i, found, err)
			return nil
		})
	}
	_ = asking.Wait() // nil
}

// revokeRetired gives back the leases that the key no longer hangs on: there is one more for each time that a call was
// replaced while this was being done.
func (g *registration) revokeRetired(ctx context.Context) (failed error) {
	var living, left []*lease.Lease
	var ids []int64
	for _, l := range g.retired {
		if signal.IsClosed(l.Lost) {
			l.Stop()
			continue
		}
		living, ids = append(living, l), append(ids, l.ID)
	}
	g.revokeEach(ctx, ids, func(i int, _ bool, err error) {
		if err != nil {
			failed, left = cmp.Or(failed, err), append(left, living[i])
			return
		}
		living[i].Stop()
	})
	g.retired = left
	return failed
}
