package etcd

import (
	"context"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"

	"github.com/micro-etcd/micro-etcd/internal/reflector"
)

// viewSource is how views read and watch etcd: through the client of the present settings.
type viewSource struct {
	connector *connector
	link      *atomic.Pointer[link] // that was asked last; nil if nobody wants to know
}

func (s viewSource) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return call(ctx, s.connector, func(ctx context.Context, l *link) (*clientv3.GetResponse, error) {
		s.follow(l)
		answer, err := l.Get(ctx, key, opts...)
		if err == nil {
			l.history.saw(answer.Header)
		}
		return answer, err
	})
}

func (s viewSource) follow(l *link) {
	if s.link != nil {
		s.link.Store(l)
	}
}

func (s viewSource) Watch(ctx context.Context, prefix string, from int64) <-chan reflector.WatchResponse {
	responses := make(chan reflector.WatchResponse, 1)
	run := func() {
		defer close(responses)
		responses <- reflector.WatchResponse{Err: s.watch(ctx, prefix, from, responses)}
	}
	if !s.connector.group.run(run) {
		responses <- reflector.WatchResponse{Err: ErrClosed}
		close(responses)
	}
	return responses
}

// watch sends events until it can't go on.
func (s viewSource) watch(ctx context.Context, prefix string, from int64, to chan<- reflector.WatchResponse) error {
	l, err := s.connector.link(ctx)
	if err != nil {
		return err
	}
	s.follow(l)
	ctx, cancel := l.during(ctx)
	defer cancel()
	ctx, renewStream := s.connector.stream(ctx)
	events := l.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(from), clientv3.WithCreatedNotify())
	for {
		select {
		case response, ok := <-events:
			err := watchError(response, ok)
			switch {
			case err != nil && ctx.Err() != nil:
				return errReplaced
			case err != nil:
				renewStream(err)
				return err
			}
			to <- reflector.WatchResponse{Events: response.Events}
		case <-ctx.Done():
			return errReplaced
		}
	}
}

// connected reports whether etcd answers, for all that is known.
func (s viewSource) connected() bool {
	l, _ := s.connector.peek()
	return l != nil && l.ActiveConnection().GetState() == connectivity.Ready
}
