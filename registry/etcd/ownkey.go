package etcd

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// This file is what a registration does to its key in etcd: take it, restore it, remove it,
// and watch it. All of it is for the registration's goroutine.

func (g *registration) leaseID() clientv3.LeaseID { return g.session.leaseID() }

func (g *registration) put(w *wish) clientv3.Op {
	return clientv3.OpPut(g.key, string(w.value), clientv3.WithLease(g.leaseID()))
}

// take writes the record whoever has the key: for a wish that is new. Its guard always holds, and makes the request
// no smaller than that of restore: etcd mustn't take a record that it will find too large when it has to be put back.
func (g *registration) take(ctx context.Context, w *wish) error {
	answer, err := g.write(ctx, w, clientv3.Compare(clientv3.ModRevision(g.key), ">", -1))
	if err != nil {
		return err
	}
	g.wrote(w, answer.revision)
	return nil
}

// restore writes the record unless it is there, or somebody else has the key.
func (g *registration) restore(ctx context.Context, w *wish) error {
	for {
		answer, err := get(ctx, g.registrar.connector, g.registrar.timeout(), g.key)
		if err != nil {
			return err
		}
		guard := clientv3.Compare(clientv3.CreateRevision(g.key), "=", 0)
		for _, kv := range answer.Kvs {
			if h := g.classify(kv, w); h != unknown {
				g.found(h, kv.ModRevision)
				g.from = answer.Header.Revision + 1
				return nil
			}
			guard = clientv3.Compare(clientv3.ModRevision(g.key), "=", kv.ModRevision)
		}
		put, err := g.write(ctx, w, guard)
		if err != nil {
			return err
		}
		if put.ok {
			g.restored()
			g.wrote(w, put.revision)
			return nil
		}
	}
}

// write puts the wish's value if the guard holds.
func (g *registration) write(ctx context.Context, w *wish, guard ...clientv3.Cmp) (written, error) {
	g.remember(w.value)
	answer, sent, err := g.registrar.commit(ctx, &parcel{guard: guard, op: g.put(w)})
	if err == nil {
		return answer, nil
	}
	if sent && !answered(err) && (g.session == nil || g.session.shared) {
		g.bare, g.inFlight = g.bare || g.session == nil, time.Now()
	}
	return written{}, tooLarge(err, len(w.value))
}

// maxPuts bounds how many values are remembered as ours. Without a lease there is nothing else to
// tell them by, and a put may land late, or come back with a snapshot.
const maxPuts = 8

func (g *registration) remember(value []byte) {
	g.puts = slices.DeleteFunc(g.puts, func(put []byte) bool { return bytes.Equal(put, value) })
	if len(g.puts) == maxPuts {
		g.puts = g.puts[1:]
	}
	g.puts = append(g.puts, value)
}

func (g *registration) mayHavePut(value []byte) bool {
	return slices.ContainsFunc(g.puts, func(put []byte) bool { return bytes.Equal(put, value) })
}

// wrote takes note of a put that etcd has acknowledged.
func (g *registration) wrote(w *wish, revision int64) {
	g.bare = g.bare || w.seconds == 0
	g.acknowledged(revision)
	g.from = revision + 1
	g.registrar.wrote(g.key, writing{revision, int64(g.leaseID())}, w.value)
}

// classify says whose a value at our key is; unknown stands for one that we may overwrite:
// our own out of date, or one that stands for nobody, because it is no record, or another node's.
func (g *registration) classify(kv *mvccpb.KeyValue, w *wish) holder {
	lease := clientv3.LeaseID(kv.Lease)
	switch {
	case bytes.Equal(kv.Value, w.value) && lease == g.leaseID():
		return ours
	case g.hangs(lease):
		return unknown
	case lease == clientv3.NoLease && (bytes.Equal(kv.Value, w.value) || g.mayHavePut(kv.Value)):
		return unknown
	}
	record, err := g.decoder.decode(string(kv.Key), kv.ModRevision, kv.Value)
	if err != nil || !record.HasOwnKey() {
		return unknown
	}
	return foreign
}

// remove deletes what is ours at the key, and gives back the leases that it may hang on.
func (g *registration) remove(ctx context.Context) error {
	g.unfollow()
	if g.session != nil {
		g.retired = append(g.retired, g.session)
		g.session = nil
	}
	for _, s := range g.retired {
		g.registrar.leases.stopRenewing(s)
	}
	var errs []error
	for _, s := range g.retired {
		errs = append(errs, g.erase(ctx, clientv3.Compare(clientv3.LeaseValue(g.key), "=", s.id)))
	}
	if len(errs) == 0 && (g.former || len(g.puts) > 0) {
		never := clientv3.Compare(clientv3.CreateRevision(g.key), "<", 0)
		errs = append(errs, g.erase(ctx, never))
	}
	if g.bare {
		errs = append(errs, g.eraseBare(ctx))
	}
	err := errors.Join(errs...)
	if denied(err) && g.gone(ctx) {
		err, errs = nil, nil
	}
	if err != nil && g.shares() {
		return err // others keep the lease alive, and with it our key
	}
	errs = append(errs, g.retire(ctx)) // also when erasing isn't permitted any more
	return errors.Join(errs...)
}

// erase deletes the key if the guard holds, or if it turns out to hang on a lease that was ours
// before.
func (g *registration) erase(ctx context.Context, guard ...clientv3.Cmp) error {
	r, former := g.registrar, clientv3.NoLease
	for {
		answer, _, err := r.commit(ctx, &parcel{guard: guard, op: clientv3.OpDelete(g.key)})
		if err != nil {
			return err
		}
		if answer.ok {
			r.wrote(g.key, writing{revision: answer.revision}, nil)
			return r.leases.revokeFormer(ctx, former)
		}
		if answer.found == nil || !r.leases.isOurs(clientv3.LeaseID(answer.found.Lease)) {
			return nil
		}
		former = clientv3.LeaseID(answer.found.Lease)
		guard = []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(g.key), "=", answer.found.ModRevision)}
	}
}

// eraseBare deletes a record without a lease, which is known for ours by its value. That is compared here: sent along,
// it would make the request larger than the one that wrote the record.
func (g *registration) eraseBare(ctx context.Context) error {
	answer, err := get(ctx, g.registrar.connector, g.registrar.timeout(), g.key)
	if err != nil {
		return err
	}
	for _, kv := range answer.Kvs {
		if kv.Lease == int64(clientv3.NoLease) && g.mayHavePut(kv.Value) {
			return g.erase(ctx, clientv3.Compare(clientv3.ModRevision(g.key), "=", kv.ModRevision))
		}
	}
	return nil
}

// gone reports whether nothing of ours is at the key, and nothing can come any more, where etcd doesn't let us delete it.
func (g *registration) gone(ctx context.Context) bool {
	if g.bare || !g.inFlight.IsZero() {
		return false
	}
	if len(g.retired) == 0 {
		return true // with the last lease
	}
	answer, err := get(ctx, g.registrar.connector, g.registrar.timeout(), g.key)
	return err == nil && !slices.ContainsFunc(answer.Kvs, func(kv *mvccpb.KeyValue) bool { return g.hangs(clientv3.LeaseID(kv.Lease)) })
}

// hangs reports whether a lease is one that this key may hang on.
func (g *registration) hangs(lease clientv3.LeaseID) bool {
	return lease != clientv3.NoLease && lease == g.leaseID() || g.registrar.leases.isOurs(lease) || slices.ContainsFunc(g.retired, func(s *session) bool { return s.id == lease })
}

// shares reports whether the key may hang on a lease that other keys keep alive.
func (g *registration) shares() bool {
	return slices.ContainsFunc(g.retired, func(s *session) bool { return g.registrar.leases.needed(s, g) })
}

// retire gives back the leases that the key no longer hangs on. Once none is left, nothing can
// land any more that hangs on one.
func (g *registration) retire(ctx context.Context) error {
	for len(g.retired) > 0 {
		released, err := g.registrar.leases.release(ctx, g.retired[0], g)
		if !released {
			return err
		}
		g.retired = g.retired[1:]
	}
	if g.session == nil && !g.bare {
		g.inFlight = time.Time{}
	}
	return nil
}

// enlist has the key watched along with others of its directory, if there are many, and if it
// isn't watched already. That is done before a write, so that nothing after the write is missed.
func (g *registration) enlist() {
	if g.events != nil {
		return
	}
	if events, leave, renew := g.registrar.sentries.enlist(g.key); events != nil {
		g.events, g.unwatch, g.renewStream = events, leave, renew
	}
}

// follow watches the key from what is known of it on, unless it is watched already.
func (g *registration) follow() {
	if g.events != nil {
		return
	}
	l, _ := g.registrar.connector.peek()
	if l == nil { // replaced a moment ago
		g.distrust(restoreClientReplaced)
		g.poke()
		return
	}
	ctx, cancel := l.during(g.registrar.connector.ctx)
	ctx, g.renewStream = g.registrar.connector.stream(ctx)
	g.events = l.Watch(ctx, g.key, clientv3.WithRev(g.from))
	g.unwatch = cancel
}

func (g *registration) unfollow() {
	g.unwatch()
	g.unwatch = func() {}
	g.events = nil
}

// observe takes in what happened to the key, and reports whether there is nothing to repair.
func (g *registration) observe(events []*clientv3.Event) (well bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range events {
		if e.Kv.ModRevision <= g.revision {
			continue
		}
		h, cause := unknown, restoreDeleted
		if e.Type == clientv3.EventTypePut {
			h, cause = g.classify(e.Kv, g.wish), restoreOverwritten
		}
		if g.holder == foreign {
			cause = restoreOwnerLeft
		}
		if h == unknown {
			g.unsure(cause)
		}
		g.note(h, e.Kv.ModRevision)
	}
	return g.holder != unknown
}
