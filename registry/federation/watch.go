package federation

import (
	"context"
	"fmt"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/feed"
	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
)

// Watch returns a watcher of one service (registry.WatchService) or of all. It tells how what GetService returns
// changes: when another data center serves a service, that its nodes come, and then that the ones before go. It begins
// with what has changed since the lookups of the last minute. If nobody can be asked, it begins with everything that
// there is when somebody can.
//
// A watcher of all services makes the federation follow all services of all data centers until Close.
//
// Several goroutines may call the watcher's Next and Stop. Next fails only when the watcher has ended, with
// registry.ErrWatcherStopped, wrapped with the reason after Close or the end of WatchContext.
//
// Errors: ErrOption, ErrClosed, and for a name that no service can have those of the local registry.
func (r *Registry) Watch(opts ...registry.WatchOption) (registry.Watcher, error) {
	o, ok := gomicro.Gather(registry.WatchOptions{}, opts)
	if err := r.check(o.Context); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("watch: %w", errNilOption)
	}
	if o.Service != "" && !catalog.IsName(o.Service) {
		return r.local().Watch(opts...)
	}
	life := o.Context
	if life == nil {
		life = context.Background()
	}
	w := feed.NewWatcher(life, o.Service)
	ctx, cancel := r.bound(context.Background())
	defer cancel()
	defer context.AfterFunc(w.Context, cancel)()
	begin := r.watchService
	if o.Service == "" {
		begin = r.watchAll
	}
	if err := begin(ctx, w); err != nil {
		w.Stop()
		return nil, fmt.Errorf("watch %q: %w", o.Service, err)
	}
	return gomicro.Watcher{Watcher: w}, nil
}

func (r *Registry) watchService(ctx context.Context, w *feed.Watcher) error {
	rt := r.routes.watched(w.Service)
	if rt == nil {
		return ErrClosed
	}
	rt.Attach(w)
	context.AfterFunc(w.Context, func() {
		rt.Detach(w)
		r.routes.unwatch(rt)
	})
	if rt.await(ctx) != nil {
		rt.DeliverInitial(w)
	}
	return r.requireOpen()
}

func (r *Registry) watchAll(ctx context.Context, w *feed.Watcher) error {
	soon, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for dc, listed := range r.routes.followAll() {
		limit := soon // a remote data center is no reason to wait for long
		if dc == 0 {
			limit = ctx
		}
		select {
		case <-listed:
		case <-limit.Done():
		}
	}
	for _, rt := range r.routes.list() {
		_ = rt.await(ctx) // what isn't known then is told when it is
	}
	if !r.routes.attachAll(w) {
		return ErrClosed
	}
	context.AfterFunc(w.Context, func() { r.routes.detachAll(w) })
	return nil
}
