package etcd

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// connect makes settings current. The streams of the client before end at once, and every
// loop goes on with the new one. It needs mu.
func (r *Registry) connect(s settings) {
	p := r.parts.Load()
	left := p.registrar.belongings()
	old := r.connector.replace(s)
	if old != nil {
		old.end()
		if !r.handovers.run(func() { r.clearOut(old, left) }) {
			_ = old.close()
		}
	}
	for _, m := range p.mirrors.all() {
		m.doubt(listClientReplaced)
	}
	p.registrar.retry()
}

// belonging is what a registration has in etcd: a lease, or else a value without one.
type belonging struct {
	key, value string
	lease      clientv3.LeaseID
}

// belongings returns what the registrations have in etcd.
func (r *registrar) belongings() []belonging {
	var all []belonging
	for _, g := range r.all() {
		g.mu.Lock()
		if g.applied != nil && g.applied.record != nil {
			all = append(all, belonging{g.key, string(g.applied.value), g.lease.leaseID()})
		}
		g.mu.Unlock()
	}
	return all
}

// handoverTime bounds how long a replaced client is kept for what it has in etcd.
const handoverTime = 10 * time.Second

// clearOut closes a client that was replaced. If the new one turns out to talk to another
// cluster, what we have at the old one is removed as far as that answers.
func (r *Registry) clearOut(old *link, left []belonging) {
	defer func() { _ = old.close() }()
	was := old.history.cluster.Load()
	if len(left) == 0 || was == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, handoverTime)
	defer cancel()
	answer, err := get(ctx, r.connector, handoverTime, left[0].key, clientv3.WithCountOnly())
	if err != nil || answer.Header.ClusterId == was {
		return
	}
	done := make(map[clientv3.LeaseID]bool)
	for _, b := range left {
		if done[b.lease] {
			continue
		}
		done[b.lease] = b.lease != clientv3.NoLease
		if err := b.remove(ctx, old, r.metrics); err != nil {
			r.log.warnf("can't remove %s from the etcd used before: %v", b.key, err)
		}
	}
}

func (b belonging) remove(ctx context.Context, l *link, m *metrics) error {
	if b.lease != clientv3.NoLease {
		_, err := measure(ctx, m, func() (*clientv3.LeaseRevokeResponse, error) { return l.Revoke(ctx, b.lease) })
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return nil
		}
		return err
	}
	answer, err := measure(ctx, m, func() (*clientv3.GetResponse, error) { return l.Get(ctx, b.key) })
	if err != nil || len(answer.Kvs) == 0 || answer.Kvs[0].Lease != int64(clientv3.NoLease) || string(answer.Kvs[0].Value) != b.value {
		return err
	}
	_, err = measure(ctx, m, func() (*clientv3.TxnResponse, error) {
		unchanged := clientv3.Compare(clientv3.ModRevision(b.key), "=", answer.Kvs[0].ModRevision)
		return l.Txn(ctx).If(unchanged).Then(clientv3.OpDelete(b.key)).Commit()
	})
	return err
}
