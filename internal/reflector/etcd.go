package reflector

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Etcd is what a Reflector reads and watches. Requests should require a leader: a member without one keeps them until
// their deadline, and confirms watches that stay silent.
type Etcd interface {
	// Get reads within the deadline of ctx.
	Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error)
	// Watch watches everything below a prefix from a revision on. It doesn't block.
	Watch(prefix string, from int64) (Watch, error)
}

// Watch is that of etcdconn.
type Watch interface {
	Ready() <-chan struct{}
	Take() (events []*clientv3.Event, open bool, err error)
	Close()
}
