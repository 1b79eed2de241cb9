package registration

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/etcderr"
)

// This file is how a registration writes its record, or the notice that stands for it.

// write makes the key say what is desired if both keys are still as they were found. Else it looks at what is there: a
// claim overwrites anything but the record itself, which a try before has written.
func (g *registration) write(ctx context.Context, d *desired, o owner, at keys, claim bool) error {
	for {
		n := g.wanted(d, o)
		answer, err := g.put(ctx, d, n, at)
		if err != nil {
			return err
		}
		if answer.Succeeded {
			g.wrote(d, n, at, answer.Header.Revision, claim)
			return nil
		}
		at = keysIn(answer)
		switch o = g.inspect(at, d); {
		case o == ownerSelf:
			g.wrote(d, nil, at, at.record.ModRevision, claim)
			return nil
		case o == ownerOther && !claim:
			return g.accept(ctx, o, at)
		}
	}
}

// put writes the record, or the notice that stands for it, if both keys are still as they were found and the other
// guards hold, and else returns what is there.
func (g *registration) put(
	ctx context.Context, d *desired, n *catalog.Notice, at keys, others ...clientv3.Cmp,
) (*clientv3.TxnResponse, error) {
	key, other, value, stale := g.key, g.noticeKey, d.value, at.notice
	if n != nil {
		var err error
		if value, err = catalog.EncodeNotice(*n); err != nil {
			return nil, err
		}
		key, other, stale = g.noticeKey, g.key, at.record
	}
	ops := []clientv3.Op{clientv3.OpPut(key, string(value), clientv3.WithLease(clientv3.LeaseID(g.leaseID())))}
	if stale != nil {
		ops = append(ops, clientv3.OpDelete(other))
	}
	guards := append(g.shared.unchanged(g.key, at), others...)
	answer, err := etcdconn.Txn(ctx, g.shared.Connector, func(t clientv3.Txn) clientv3.Txn {
		return t.If(guards...).Then(ops...).Else(g.shared.gets(g.key)...)
	})
	return answer, tooLarge(err, len(value))
}

// tooLarge turns the ways in which etcd and gRPC refuse a big request into ErrTooLarge.
func tooLarge(err error, size int) error {
	if !etcderr.IsTooLarge(err) {
		return err
	}
	return fmt.Errorf("%w: %d bytes: %w", ErrTooLarge, size, err)
}

// wrote takes note of what etcd has acknowledged: the record, or the notice that stands for it.
func (g *registration) wrote(d *desired, n *catalog.Notice, at keys, revision int64, claim bool) {
	g.from, g.noticed = revision+1, n != nil
	if n != nil {
		g.acknowledged(ownerNotice, revision, n)
		if at.record != nil {
			g.shared.Deleted(g.key, revision)
		}
		return
	}
	if !claim && !g.isOut() {
		g.restored()
	}
	g.acknowledged(ownerSelf, revision, nil)
	g.shared.Put(g.recordOf(d, revision))
}
