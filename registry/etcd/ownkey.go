package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
)

// This file is what a registration does to its key in etcd: claim it, restore it, remove it,
// and watch it. All of it is for the registration's goroutine.

func (g *registration) leaseID() int64 {
	if g.lease == nil {
		return int64(clientv3.NoLease)
	}
	return g.lease.id
}

// Comparisons that guard what is written. A request that arrives late, after etcd has answered its repeat, must find the key
// different from what it was sent for, or it would undo what came after.
func absent(key string) clientv3.Cmp { return clientv3.Compare(clientv3.CreateRevision(key), "=", 0) }

func unchanged(key string, revision int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", revision)
}

// claim writes the record whoever has the key: for a wish that is new.
func (g *registration) claim(ctx context.Context, w *wish) error {
	guard := absent(g.key)
	if revision, ok := g.own(); ok {
		guard = unchanged(g.key, revision)
	}
	return g.write(ctx, w, guard, true)
}

// restore writes the record unless it is there, or somebody else has the key.
func (g *registration) restore(ctx context.Context, w *wish) error {
	answer, err := etcdconn.Get(ctx, g.registrar.connector, g.registrar.timeout(), g.key)
	if err != nil {
		return err
	}
	h, at, guard := g.look(answer.Kvs, w)
	if h != unknown {
		g.found(h, at)
		g.from = answer.Header.Revision + 1
		return nil
	}
	return g.write(ctx, w, guard, false)
}

// look says whose the key is by what was read of it, since which revision, and under which guard it may be overwritten.
func (g *registration) look(kvs []*mvccpb.KeyValue, w *wish) (h holder, at int64, guard clientv3.Cmp) {
	if len(kvs) == 0 {
		return unknown, 0, absent(g.key)
	}
	return g.classify(kvs[0], w), kvs[0].ModRevision, unchanged(g.key, kvs[0].ModRevision)
}

// write writes the record if the guard holds. Else it looks at what is there: a claim overwrites anything but the record
// itself, which a try before has written.
func (g *registration) write(ctx context.Context, w *wish, guard clientv3.Cmp, claim bool) error {
	for {
		answer, err := g.put(ctx, w, guard)
		if err != nil {
			return err
		}
		h, at := ours, answer.Header.Revision
		if !answer.Succeeded {
			h, at, guard = g.look(answer.Responses[0].GetResponseRange().Kvs, w)
		}
		switch {
		case h == ours:
			if !claim {
				g.restored()
			}
			g.wrote(w, at)
			return nil
		case h == foreign && !claim:
			g.found(h, at)
			g.from = answer.Header.Revision + 1
			return nil
		}
	}
}

// put writes the wish's value if the guard holds, and else returns what is there.
func (g *registration) put(ctx context.Context, w *wish, guard clientv3.Cmp) (*clientv3.TxnResponse, error) {
	op := clientv3.OpPut(g.key, string(w.value), clientv3.WithLease(clientv3.LeaseID(g.leaseID())))
	answer, err := etcdconn.Txn(ctx, g.registrar.connector, func(t clientv3.Txn) clientv3.Txn {
		return t.If(guard).Then(op).Else(clientv3.OpGet(g.key))
	})
	return answer, tooLarge(err, len(w.value))
}

// tooLarge turns the ways in which etcd and gRPC refuse a big request into ErrTooLarge.
func tooLarge(err error, size int) error {
	if !etcdconn.IsTooLarge(err) {
		return err
	}
	return fmt.Errorf("%w: %d bytes: %w", ErrTooLarge, size, err)
}

// own returns at which revision our record was written last, if it is known to be there.
func (g *registration) own() (revision int64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.revision, g.holder == ours
}

// wrote takes note of a put that etcd has acknowledged.
func (g *registration) wrote(w *wish, revision int64) {
	g.acknowledged(revision)
	g.from = revision + 1
	written := *w.record
	written.Revision, written.Lease = revision, g.leaseID()
	g.registrar.put(&written)
}

// classify says whose a value at our key is; unknown stands for one that we may overwrite:
// our own out of date, or off its lease, or one that stands for nobody, because it is no record, or another node's.
func (g *registration) classify(kv *mvccpb.KeyValue, w *wish) holder {
	same := bytes.Equal(kv.Value, w.value)
	switch {
	case same && kv.Lease == g.leaseID():
		return ours
	case g.registrar.leases.isOurs(kv.Lease), same && kv.Lease == int64(clientv3.NoLease):
		return unknown
	}
	record, err := g.decoder.Decode(string(kv.Key), kv.ModRevision, kv.Value)
	if err != nil || !record.HasOwnKey() {
		return unknown
	}
	return foreign
}

// leases returns those that the key may hang on.
func (g *registration) leases() []*lease {
	if g.lease == nil {
		return g.retired
	}
	return append(slices.Clone(g.retired), g.lease)
}

// remove deletes what is ours at the key, and gives back the leases that it may hang on. With them gone nothing can
// land any more that hangs on one. Their end suffices where deleting isn't permitted any more.
func (g *registration) remove(ctx context.Context) error {
	g.unfollow()
	g.retired = g.leases()
	g.setLease(nil)
	for _, l := range g.retired {
		l.stop()
	}
	if len(g.retired) == 0 && !g.former {
		return nil
	}
	guard := clientv3.Compare(clientv3.CreateRevision(g.key), "<", 0) // never: what is there has to be looked at
	if len(g.retired) > 0 {
		last := g.retired[len(g.retired)-1]
		guard = clientv3.Compare(clientv3.LeaseValue(g.key), "=", last.id)
	}
	err := g.erase(ctx, guard)
	if revokeErr := g.retire(ctx); revokeErr != nil {
		return errors.Join(err, revokeErr)
	}
	if g.former {
		return err
	}
	return nil
}

// erase deletes the key if the guard holds, or if it turns out to hang on another lease of ours: that one came back with a
// snapshot, and ends too.
func (g *registration) erase(ctx context.Context, guard clientv3.Cmp) error {
	r, former := g.registrar, int64(clientv3.NoLease)
	for {
		answer, err := etcdconn.Txn(ctx, r.connector, func(t clientv3.Txn) clientv3.Txn {
			return t.If(guard).Then(clientv3.OpDelete(g.key)).Else(clientv3.OpGet(g.key, clientv3.WithKeysOnly()))
		})
		if err != nil {
			return err
		}
		if answer.Succeeded {
			r.deleted(g.key, answer.Header.Revision)
			if former == int64(clientv3.NoLease) {
				return nil
			}
			return r.leases.revoke(ctx, former)
		}
		kvs := answer.Responses[0].GetResponseRange().Kvs
		if len(kvs) == 0 || !r.leases.isOurs(kvs[0].Lease) {
			return nil
		}
		former = kvs[0].Lease
		guard = unchanged(g.key, kvs[0].ModRevision)
	}
}

// retire gives back the leases that the key no longer hangs on.
func (g *registration) retire(ctx context.Context) error {
	for len(g.retired) > 0 {
		l := g.retired[0]
		if !isClosed(l.lost) {
			if err := g.registrar.leases.revoke(ctx, l.id); err != nil {
				return err
			}
		}
		l.stop()
		g.retired = g.retired[1:]
	}
	return nil
}

// follow watches the key from what is known of it on, unless it is watched already.
func (g *registration) follow() {
	if g.watch != nil {
		return
	}
	l := g.registrar.connector.Current()
	if l == nil { // replaced a moment ago
		g.invalidate(metrics.RestoreClientReplaced)
		g.poke()
		return
	}
	g.watch = g.registrar.connector.Watch(l, g.key, "", g.from)
}

func (g *registration) unfollow() {
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
		h, cause := unknown, metrics.RestoreDeleted
		if e.Type == clientv3.EventTypePut {
			h, cause = g.classify(e.Kv, g.wish), metrics.RestoreOverwritten
		}
		if g.holder == foreign {
			cause = metrics.RestoreOwnerLeft
		}
		if h == unknown {
			g.invalidateLocked(cause)
		}
		g.foundLocked(h, e.Kv.ModRevision)
	}
	return g.holder != unknown
}
