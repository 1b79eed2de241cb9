package etcd

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// parcel is one registration's guarded write.
type parcel struct {
	guard []clientv3.Cmp
	op    clientv3.Op

	until  time.Time     // the caller waits until then
	done   chan struct{} // closed once what follows is known
	answer written
	err    error
}

// written is etcd's answer to a guarded write.
type written struct {
	ok       bool // the guard held
	found    *mvccpb.KeyValue
	revision int64
}

// otherwise returns what is done if the guard doesn't hold: whoever deletes wants to know what is there.
func (p *parcel) otherwise() []clientv3.Op {
	if !p.op.IsDelete() {
		return nil
	}
	return []clientv3.Op{clientv3.OpGet(string(p.op.KeyBytes()), clientv3.WithKeysOnly())}
}

// read takes note of the answer to a parcel's transaction.
func read(ok bool, responses []*pb.ResponseOp, revision int64) written {
	w := written{ok: ok, revision: revision}
	if !ok && len(responses) > 0 {
		for _, kv := range responses[0].GetResponseRange().Kvs {
			w.found = kv
		}
	}
	return w
}

// write does a guarded write by itself.
func (p *parcel) write(ctx context.Context, c *connector) (written, error) {
	answer, err := transact(ctx, c, func(t clientv3.Txn) clientv3.Txn {
		return t.If(p.guard...).Then(p.op).Else(p.otherwise()...)
	})
	if err != nil {
		return written{}, err
	}
	return read(answer.Succeeded, answer.Responses, answer.Header.Revision), nil
}

// commit does a guarded write, along with others if they share a lease.
func (r *registrar) commit(ctx context.Context, p *parcel) (answer written, sent bool, err error) {
	if r.leases.shared() {
		return r.batch.send(ctx, p)
	}
	answer, err = p.write(ctx, r.connector)
	return answer, true, err
}

// transact does a transaction that isn't cut off by Init.
func transact(ctx context.Context, c *connector, build func(clientv3.Txn) clientv3.Txn) (*clientv3.TxnResponse, error) {
	return callWhole(ctx, c, func(ctx context.Context, l *link) (*clientv3.TxnResponse, error) {
		answer, err := build(l.Txn(ctx)).Commit()
		if err == nil {
			l.history.saw(answer.Header)
		}
		return answer, err
	})
}
