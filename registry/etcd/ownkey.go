package etcd

import (
	"bytes"
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// This file is what a registration does to its key in etcd: take it, restore it, remove it,
// and watch it. All of it is for the registration's goroutine.

func (g *registration) leaseID() clientv3.LeaseID {
	if g.session == nil {
		return clientv3.NoLease
	}
	return g.session.id
}

func (g *registration) put(w *wish) clientv3.Op {
	return clientv3.OpPut(g.key, string(w.value), clientv3.WithLease(g.leaseID()))
}

// take writes the record whoever has the key: for a wish that is new.
func (g *registration) take(ctx context.Context, w *wish) error {
	answer, err := g.write(ctx, w, func(t clientv3.Txn) clientv3.Txn { return t.Then(g.put(w)) })
	if err != nil {
		return err
	}
	g.wrote(w, answer.Header.Revision)
	return nil
}

// restore writes the record unless somebody else has the key.
func (g *registration) restore(ctx context.Context, w *wish) error {
	guard := clientv3.Compare(clientv3.CreateRevision(g.key), "=", 0)
	for {
		answer, err := g.write(ctx, w, func(t clientv3.Txn) clientv3.Txn {
			return t.If(guard).Then(g.put(w)).Else(clientv3.OpGet(g.key))
		})
		if err != nil {
			return err
		}
		if answer.Succeeded {
			g.wrote(w, answer.Header.Revision)
			return nil
		}
		kvs := answer.Responses[0].GetResponseRange().Kvs
		if len(kvs) == 0 {
			guard = clientv3.Compare(clientv3.CreateRevision(g.key), "=", 0)
			continue
		}
		if h := g.classify(kvs[0], w); h != unknown {
			g.found(h, answer.Header.Revision)
			g.follow(answer.Header.Revision + 1)
			return nil
		}
		guard = clientv3.Compare(clientv3.ModRevision(g.key), "=", kvs[0].ModRevision)
	}
}

func (g *registration) txn(ctx context.Context, build func(clientv3.Txn) clientv3.Txn) (*clientv3.TxnResponse, error) {
	return callWhole(ctx, g.registrar.connector, func(ctx context.Context, l *link) (*clientv3.TxnResponse, error) {
		answer, err := build(l.Txn(ctx)).Commit()
		if err == nil {
			l.saw(answer.Header)
		}
		return answer, err
	})
}

// write does a transaction that may put the wish's value.
func (g *registration) write(ctx context.Context, w *wish, build func(clientv3.Txn) clientv3.Txn) (*clientv3.TxnResponse, error) {
	g.written = w.value
	answer, err := g.txn(ctx, build)
	if err == nil {
		return answer, nil
	}
	if w.seconds == 0 && !answered(err) {
		g.bare, g.inFlight = true, time.Now()
	}
	return nil, tooLarge(err, len(w.value))
}

// wrote takes note of a put that etcd has acknowledged.
func (g *registration) wrote(w *wish, revision int64) {
	g.bare = g.bare || w.seconds == 0
	g.found(ours, revision)
	g.registrar.wrote(g.key, revision, w.value)
	g.follow(revision + 1)
}

// classify says whose a value at our key is; unknown stands for one that we may overwrite:
// our own out of date, or junk, which has no lease and is no record.
func (g *registration) classify(kv *mvccpb.KeyValue, w *wish) holder {
	lease := clientv3.LeaseID(kv.Lease)
	switch {
	case bytes.Equal(kv.Value, w.value) && lease == g.leaseID():
		return ours
	case g.granted(lease):
		return unknown
	case lease != clientv3.NoLease:
		return foreign
	case bytes.Equal(kv.Value, w.value) || bytes.Equal(kv.Value, g.written):
		return unknown
	}
	if _, err := g.decoder.decode(string(kv.Key), kv.ModRevision, kv.Value); err != nil {
		return unknown
	}
	return foreign
}

func (g *registration) granted(id clientv3.LeaseID) bool {
	if id == clientv3.NoLease {
		return false
	}
	for _, s := range g.retired {
		if s.id == id {
			return true
		}
	}
	return id == g.leaseID()
}

// remove deletes what is ours at the key, and the leases that it may hang on.
func (g *registration) remove(ctx context.Context) error {
	g.unfollow()
	if g.session != nil {
		g.retired = append(g.retired, g.session)
		g.session = nil
	}
	for _, s := range g.retired {
		s.end()
	}
	var errs []error
	for _, s := range g.retired {
		errs = append(errs, g.erase(ctx, clientv3.Compare(clientv3.LeaseValue(g.key), "=", s.id)))
	}
	if g.bare {
		errs = append(errs, g.erase(ctx, ownBare(g.key, string(g.written))...))
	}
	errs = append(errs, g.retire(ctx)) // also when erasing isn't permitted any more
	return errors.Join(errs...)
}

// erase deletes the key if the guard holds.
func (g *registration) erase(ctx context.Context, guard ...clientv3.Cmp) error {
	answer, err := g.txn(ctx, func(t clientv3.Txn) clientv3.Txn {
		return t.If(guard...).Then(clientv3.OpDelete(g.key))
	})
	if err != nil {
		return err
	}
	if answer.Succeeded {
		g.registrar.wrote(g.key, answer.Header.Revision, nil)
	}
	return nil
}

// retire revokes the leases that the key no longer hangs on.
func (g *registration) retire(ctx context.Context) error {
	for len(g.retired) > 0 {
		if err := g.retired[0].revoke(ctx); err != nil {
			return err
		}
		g.retired = g.retired[1:]
	}
	return nil
}

// follow watches the key from a revision on, unless it is watched already.
func (g *registration) follow(revision int64) {
	if g.events != nil {
		return
	}
	l, _ := g.registrar.connector.peek()
	if l == nil { // replaced a moment ago
		g.distrust()
		g.poke()
		return
	}
	ctx, cancel := l.during(g.registrar.connector.ctx)
	ctx, g.renewStream = g.registrar.connector.stream(ctx)
	g.events = l.Watch(ctx, g.key, clientv3.WithRev(revision))
	g.unwatch = cancel
}

func (g *registration) unfollow() {
	g.unwatch()
	g.unwatch = func() {}
	g.events = nil
}

// observe takes in what happened to the key, and reports whether all is well nevertheless.
func (g *registration) observe(events []*clientv3.Event) (well bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	well = true
	for _, e := range events {
		if e.Kv.ModRevision <= g.revision {
			continue
		}
		g.revision = e.Kv.ModRevision
		if e.Type == clientv3.EventTypePut && g.classify(e.Kv, g.wish) == ours {
			continue
		}
		g.holder, well = unknown, false
	}
	return well
}
