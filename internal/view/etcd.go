package view

import (
	"context"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
)

// etcd is how views read and watch etcd: through the client of the present settings.
type etcd struct {
	connector *etcdconn.Connector
	client    *atomic.Pointer[etcdconn.Client] // that was asked last; nil if nobody wants to know
}

func (e etcd) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return etcdconn.Do(ctx, e.connector, func(ctx context.Context, cl *etcdconn.Client) (*clientv3.GetResponse, error) {
		if e.client != nil {
			e.client.Store(cl)
		}
		return cl.Get(ctx, key, opts...)
	})
}

// Watch watches at the client that was asked last, unless another one took over: that may be of another cluster.
func (e etcd) Watch(prefix string, from int64) (reflector.Watch, error) {
	cl := e.client.Load()
	if e.connector.Current() != cl {
		return nil, etcdconn.ErrReplaced
	}
	return clientWatch{e.connector.Watch(cl, prefix, clientv3.GetPrefixRangeEnd(prefix), from), cl}, nil
}

// clientWatch is a watch that ends with its client.
type clientWatch struct {
	*etcdconn.Watch
	client *etcdconn.Client
}

func (w clientWatch) Take() ([]*clientv3.Event, bool, error) {
	events, open, err := w.Watch.Take()
	if err != nil && !w.client.IsCurrent() {
		err = etcdconn.ErrReplaced
	}
	return events, open, err
}
