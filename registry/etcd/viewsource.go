package etcd

import (
	"context"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
)

// viewSource is how views read and watch etcd: through the client of the present settings.
type viewSource struct {
	connector *etcdconn.Connector
	link      *atomic.Pointer[etcdconn.Client] // that was asked last; nil if nobody wants to know
}

func (s viewSource) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return etcdconn.Do(ctx, s.connector, func(ctx context.Context, l *etcdconn.Client) (*clientv3.GetResponse, error) {
		if s.link != nil {
			s.link.Store(l)
		}
		return l.Get(ctx, key, opts...)
	})
}

// Watch watches at the client that was asked last, unless another one took over: that may be of another cluster.
func (s viewSource) Watch(prefix string, from int64) (reflector.Watch, error) {
	l := s.link.Load()
	if s.connector.Current() != l {
		return nil, etcdconn.ErrReplaced
	}
	return viewWatch{s.connector.Watch(l, prefix, clientv3.GetPrefixRangeEnd(prefix), from), l}, nil
}

// viewWatch is a watch that ends with its client.
type viewWatch struct {
	*etcdconn.Watch
	link *etcdconn.Client
}

func (w viewWatch) Take() ([]*clientv3.Event, bool, error) {
	events, open, err := w.Watch.Take()
	if err != nil && !w.link.IsCurrent() {
		err = etcdconn.ErrReplaced
	}
	return events, open, err
}
