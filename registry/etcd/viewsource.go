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
	connector *connector
	link      *atomic.Pointer[link] // that was asked last; nil if nobody wants to know
}

func (s viewSource) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return call(ctx, s.connector, func(ctx context.Context, l *link) (*clientv3.GetResponse, error) {
		if s.link != nil {
			s.link.Store(l)
		}
		return l.Get(ctx, key, opts...)
	})
}

// Watch watches at the client that was asked last, unless another one took over: that may be of another cluster.
func (s viewSource) Watch(prefix string, from int64) (reflector.Watch, error) {
	l := s.link.Load()
	if s.connector.current() != l {
		return nil, errReplaced
	}
	return viewWatch{s.connector.watch(l, prefix, clientv3.GetPrefixRangeEnd(prefix), from), l}, nil
}

// viewWatch is a watch that ends with its client.
type viewWatch struct {
	*etcdconn.Watch
	link *link
}

func (w viewWatch) Take() ([]*clientv3.Event, bool, error) {
	events, open, err := w.Watch.Take()
	if err != nil && !w.link.isCurrent() {
		err = errReplaced
	}
	return events, open, err
}
