package federation

import (
	"cmp"
	"context"
	"fmt"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/feed"
	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
)

// Watch returns a watcher of one service (registry.WatchService) or of all. It tells how what GetService returns
// changes: when another data center comes to serve a service, that its nodes come, and then that the ones before go. It
// begins with what has changed since the lookups of the last minute. If nobody can be asked, it begins with everything
// that there is when somebody can.
//
// A watcher of all services makes the federation follow all services of all data centers until Close.
//
// Several goroutines may call the watcher's Next and Stop. Next fails only when the watcher has ended, with
// registry.ErrWatcherStopped, wrapped with the reason after Close or the end of WatchContext.
//
// Errors: ErrOption, ErrClosed, and for a name that no service can have those of the local registry.
func (r *Registry) Watch(opts ...registry.WatchOption) (registry.Watcher, error) {
	o, ok := gomicro.Gather(registry.WatchOptions{}, opts)
	if err := r.check(ok); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	if o.Service != "" && !catalog.IsName(o.Service) {
		return r.local().Watch(opts...)
	}
	life := o.Context
	if life == nil {
		life = context.Background()
	}
	ctx, cancel := r.bound(context.Background())
	defer cancel()
	w := feed.NewWatcher(life, o.Service)
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
	rt := r.watched(w.Service)
	if rt == nil {
		return ErrClosed
	}
	rt.Attach(w)
	context.AfterFunc(w.Context, func() {
		rt.Detach(w)
		r.mu.Lock()
		defer r.mu.Unlock()
		rt.watching--
	})
	if rt.await(ctx) != nil {
		rt.DeliverInitial(w)
	}
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	return nil
}

// watched returns a service that is followed as long as it has watchers.
func (r *Registry) watched(name string) *route {
	r.mu.Lock()
	defer r.mu.Unlock()
	rt := r.routeLocked(name)
	if rt != nil {
		rt.watching++
	}
	return rt
}

func (r *Registry) watchAll(ctx context.Context, w *feed.Watcher) error {
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for dc, listed := range r.followAll() {
		limit := soon
		if dc == 0 {
			limit = ctx
		}
		select {
		case <-listed:
		case <-limit.Done():
		}
	}
	for _, rt := range r.followed() {
		_ = rt.await(ctx) // who isn't known then is told when it is
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	r.watchers[w] = true
	for _, rt := range r.followed() {
		rt.Attach(w)
		rt.DeliverInitial(w)
	}
	context.AfterFunc(w.Context, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watchers, w)
		for _, rt := range r.followed() {
			rt.Detach(w)
		}
	})
	return nil
}

// followsAll reports whether every service of every data center is followed.
func (r *Registry) followsAll() bool { return r.all.Load() }

// followAll follows every service of every data center from now on, and returns what is closed when that is done for
// the first time, by data center.
func (r *Registry) followAll() []chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listed != nil {
		return r.listed
	}
	r.all.Store(true)
	for dc, d := range r.datacenters {
		listed := make(chan struct{})
		r.listed = append(r.listed, listed)
		r.group.Run(func() {
			first := true
			d.follow(r.ctx, "", func() error {
				err := r.listAll(dc)
				if first {
					close(listed)
				}
				first = false
				return err
			}, func(name string) error { return r.changed(dc, name) })
		})
	}
	return r.listed
}

// listAll reads every service of a data center, and returns an error if one can't be read.
func (r *Registry) listAll(dc int) error {
	names := make(map[string]bool)
	services, err := r.datacenters[dc].registry.ListServices(registry.ListContext(r.ctx)) // else each is asked for
	for _, s := range services {
		if s != nil {
			names[s.Name] = true
		}
	}
	for name := range names {
		err = cmp.Or(err, r.changed(dc, name))
	}
	for _, rt := range r.followed() { // what isn't there any more
		if !names[rt.name] && rt.asks(dc) {
			err = cmp.Or(err, rt.read(rt.ctx, dc))
		}
	}
	return err
}

// changed reads a service of a data center, if that one is asked for it.
func (r *Registry) changed(dc int, name string) error {
	if !catalog.IsName(name) {
		return nil
	}
	for {
		rt := r.route(name)
		if rt == nil || !rt.asks(dc) {
			return nil
		}
		err := rt.read(rt.ctx, dc)
		if rt.ctx.Err() == nil || r.ctx.Err() != nil {
			return err
		} // else it was given up meanwhile, and is followed anew
	}
}
