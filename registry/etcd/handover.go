package etcd

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// connect makes settings current. The streams of the client before end at once, and every
// loop goes on with the new one. It needs mu.
func (r *Registry) connect(s settings) {
	old := r.connector.replace(s)
	if old == nil {
		return
	}
	parts := r.parts.Load()
	leases := parts.registrar.leases()
	old.end()
	if !r.group.run(func() { r.leave(old, leases, parts) }) {
		_ = old.close()
	}
}

// leave closes a client that was replaced. If the new one turns out to talk to another
// cluster, the leases at the old one are revoked as far as that answers.
func (r *Registry) leave(old *link, leases []clientv3.LeaseID, p *parts) {
	defer func() { _ = old.close() }()
	was := old.cluster.Load()
	if len(leases) == 0 || was == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, handoverTime)
	defer cancel()
	answer, err := get(ctx, r.connector, handoverTime, p.config.keys.prefix, clientv3.WithCountOnly())
	if err != nil || answer.Header.ClusterId == was {
		return
	}
	for _, id := range leases {
		if _, err := old.Revoke(ctx, id); err != nil {
			r.log().warnf("can't revoke lease %x at the etcd used before: %v", int64(id), err)
			return
		}
	}
}

// handoverTime bounds how long a replaced client is kept for its leases.
const handoverTime = 10 * time.Second
