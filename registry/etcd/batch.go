package etcd

import (
	"context"
	"slices"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// batch sends what many registrations write at one time in few transactions, for SharedLease.
// While one is under way the next ones are collected.
type batch struct {
	connector *connector

	mu      sync.Mutex
	waiting []*parcel
	sending bool
}

func (p *parcel) size() int { return len(p.op.KeyBytes()) + len(p.op.ValueBytes()) }

// Limits of etcd's for one request, with some room: 1.5 MiB, and 128 operations, of which each
// nested transaction must find as many left as it has itself (server/v3 embed/config.go,
// etcdserver/api/v3rpc/key.go, checkTxnRequest).
const (
	maxBatch     = 120
	maxBatchSize = 1 << 20
)

// send writes a parcel along with others, and waits for the answer. sent reports whether it
// may have reached etcd.
func (b *batch) send(ctx context.Context, p *parcel) (answer written, sent bool, err error) {
	p.done = make(chan struct{})
	p.until, _ = ctx.Deadline()
	b.mu.Lock()
	b.waiting = append(b.waiting, p)
	if !b.sending {
		b.sending = b.connector.group.run(b.run)
	}
	b.mu.Unlock()
	select {
	case <-p.done:
		return p.answer, true, p.err
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	before := len(b.waiting)
	b.waiting = slices.DeleteFunc(b.waiting, func(o *parcel) bool { return o == p })
	return written{}, len(b.waiting) == before, context.Cause(ctx)
}

func (b *batch) run() {
	for parcels := b.next(); len(parcels) > 0; parcels = b.next() {
		b.deliver(parcels)
	}
}

// next returns as many parcels as go into one transaction, in the order in which they came.
func (b *batch) next() []*parcel {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, size := 0, 0
	for n < min(len(b.waiting), maxBatch) && (n == 0 || size+b.waiting[n].size() <= maxBatchSize) {
		size += b.waiting[n].size()
		n++
	}
	parcels := slices.Clone(b.waiting[:n])
	b.waiting = slices.Delete(b.waiting, 0, n)
	b.sending = n > 0
	return parcels
}

// deliver writes parcels in one transaction. If etcd refuses that, each is written by itself,
// so that no registration suffers from another's. Nothing is sent for which nobody waits any more.
func (b *batch) deliver(parcels []*parcel) {
	latest := slices.MaxFunc(parcels, func(p, q *parcel) int { return p.until.Compare(q.until) }).until
	ctx, cancel := context.WithDeadline(b.connector.ctx, latest)
	defer cancel()
	if len(parcels) == 1 {
		p := parcels[0]
		p.answer, p.err = p.write(ctx, b.connector)
		close(p.done)
		return
	}
	err := b.together(ctx, parcels)
	if answered(err) || isTooLarge(err) {
		for _, p := range parcels {
			b.deliver([]*parcel{p})
		}
		return
	}
	for _, p := range parcels {
		p.err = err
		close(p.done)
	}
}

func (b *batch) together(ctx context.Context, parcels []*parcel) error {
	ops := make([]clientv3.Op, len(parcels))
	for i, p := range parcels {
		if ops[i] = p.op; len(p.guard) > 0 {
			ops[i] = clientv3.OpTxn(p.guard, []clientv3.Op{p.op}, p.otherwise())
		}
	}
	answer, err := transact(ctx, b.connector, func(t clientv3.Txn) clientv3.Txn { return t.Then(ops...) })
	if err != nil {
		return err
	}
	for i, p := range parcels {
		one := answer.Responses[i].GetResponseTxn()
		p.answer = read(len(p.guard) == 0 || one.Succeeded, one.GetResponses(), answer.Header.Revision)
	}
	return nil
}
