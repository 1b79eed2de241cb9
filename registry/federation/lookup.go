package federation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/feed"
	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
)

// GetService returns the nodes of one data center: of the local one if it has at least as many as FailoverBelow says,
// and else of the first remote one that has any. Each node's metadata says under DatacenterKey where it is. The result
// is sorted and belongs to the caller.
//
// The first lookup of a name asks; from then on it is followed, and answered without asking, until nobody has looked
// for ten minutes. A data center that can't be asked counts with what it said last. If it never said anything, the next
// one serves after a second. What this process registers is visible at once.
//
// Options other than [Datacenter] and [Everywhere] are passed on to the registries, which are asked then.
//
// Errors: registry.ErrNotFound if every data center has said that there is no node; else an error that names those that
// couldn't be asked, and why. ErrDatacenter, ErrOption, ErrClosed.
func (r *Registry) GetService(name string, opts ...registry.GetOption) ([]*registry.Service, error) {
	services, err := r.lookUp(name, opts)
	switch {
	case err != nil:
		return nil, fmt.Errorf("get service %q: %w", name, err)
	case len(services) == 0:
		return nil, registry.ErrNotFound
	}
	return services, nil
}

func (r *Registry) lookUp(name string, opts []registry.GetOption) ([]*registry.Service, error) {
	o, ok := gomicro.Gather(registry.GetOptions{}, opts)
	if err := r.check(ok); err != nil {
		return nil, err
	}
	if !catalog.IsName(name) { // the local registry says what is wrong with it
		return r.datacenters[0].services(name, opts)
	}
	ctx, cancel := r.bound(o.Context)
	defer cancel()
	switch {
	case has(o.Context, datacenterKey{}):
		d, err := r.datacenter(o.Context.Value(datacenterKey{}))
		if err != nil {
			return nil, err
		}
		return d.services(name, append(slices.Clone(opts), registry.GetContext(ctx)))
	case has(o.Context, everywhereKey{}):
		opts = append(slices.Clip(opts), registry.GetContext(ctx))
		return r.gather(ctx, func(d *datacenter) ([]*registry.Service, error) { return d.services(name, opts) })
	}
	snapshot, err := r.snapshot(ctx, name, opts)
	return gomicro.Services(snapshot), err
}

// datacenter returns the one with a name.
func (r *Registry) datacenter(name any) (*datacenter, error) {
	i := slices.IndexFunc(r.datacenters, func(d *datacenter) bool { return d.name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w: %v", ErrDatacenter, name)
	}
	return r.datacenters[i], nil
}

// gather asks all data centers, and returns what those have that can be asked. It is an error that some can't if the
// others have nothing.
func (r *Registry) gather(
	ctx context.Context, ask func(*datacenter) ([]*registry.Service, error),
) ([]*registry.Service, error) {
	type found struct {
		services []*registry.Service
		err      error
	}
	asked := make([]chan found, len(r.datacenters))
	for i, d := range r.datacenters {
		asked[i] = make(chan found, 1)
		r.group.Run(func() {
			services, err := ask(d)
			asked[i] <- found{services, err}
		})
	}
	var all []*registry.Service
	errs := make([]error, len(asked))
	for i, d := range r.datacenters {
		select {
		case f := <-asked[i]:
			all = append(all, f.services...)
			errs[i] = d.unasked(f.err)
		case <-ctx.Done(): // not every registry knows contexts
			errs[i] = d.unasked(context.Cause(ctx))
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	return nil, errors.Join(errs...)
}

// unasked says which data center couldn't be asked, and why.
func (d *datacenter) unasked(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("data center %s couldn't be asked: %w", d.name, err)
}

// snapshot returns what is served of a service.
func (r *Registry) snapshot(ctx context.Context, name string, opts []registry.GetOption) (*catalog.Snapshot, error) {
	rt, err := r.follow(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(opts) > 0 {
		rt.reread(ctx, opts)
		rt.settle(ctx)
	}
	return rt.known()
}

// known returns what is served, and if that is nothing, why that may be wrong.
func (rt *route) known() (*catalog.Snapshot, error) {
	if snapshot := rt.Snapshot(rt.name); snapshot != nil {
		return snapshot, nil
	}
	return nil, rt.unasked(nil)
}

// follow returns a service once it is known who serves it.
func (r *Registry) follow(ctx context.Context, name string) (*route, error) {
	for {
		rt := r.route(name)
		if rt == nil {
			return nil, ErrClosed
		}
		err := rt.await(ctx)
		switch {
		case err == nil:
			return rt, nil
		case r.ctx.Err() != nil:
			return nil, ErrClosed
		case ctx.Err() != nil:
			return nil, rt.unasked(context.Cause(ctx))
		}
	}
}

// followService is follow for selectors.
func (r *Registry) followService(ctx context.Context, name string) (feed.Followed, error) {
	if !catalog.IsName(name) {
		_, err := r.lookUp(name, nil)
		return nil, cmp.Or(err, registry.ErrNotFound)
	}
	ctx, cancel := r.bound(ctx)
	defer cancel()
	rt, err := r.follow(ctx, name)
	if err != nil {
		return nil, err
	}
	_, err = rt.known()
	return rt, err
}

// unasked names the data centers that have never said anything about the service; nil if there are none. since is why
// nobody waits for them any longer.
func (rt *route) unasked(since error) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	var errs []error
	for i := range rt.answers {
		if a := &rt.answers[i]; !a.known && !a.asked.IsZero() {
			errs = append(errs, rt.registry.datacenters[i].unasked(cmp.Or(a.err, since, errUnanswered)))
		}
	}
	return errors.Join(errs...)
}

var errUnanswered = errors.New("it hasn't answered yet")

// reread asks the data centers that are followed, and waits for the one that serves then, and those that are preferred.
func (rt *route) reread(ctx context.Context, opts []registry.GetOption) {
	answered := make([]chan struct{}, len(rt.answers))
	for dc := range answered {
		if !rt.asks(dc) {
			continue
		}
		done := make(chan struct{})
		answered[dc] = done
		rt.registry.group.Run(func() {
			defer close(done)
			_ = rt.read(ctx, dc, opts...)
		})
	}
	for dc, done := range answered {
		if done == nil {
			continue
		}
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
		if rt.isServedBy(dc) {
			return
		}
	}
}

func (rt *route) isServedBy(dc int) bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.serving == dc
}

// asks reports whether a data center is followed.
func (rt *route) asks(dc int) bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return !rt.answers[dc].asked.IsZero()
}

// ListServices returns all services of the local data center, or with [ListEverywhere] those of all that can be asked:
// then one per name, version and data center. Each node's metadata says where it is. Errors: the registry's; ErrOption,
// ErrClosed.
func (r *Registry) ListServices(opts ...registry.ListOption) ([]*registry.Service, error) {
	services, err := r.list(opts)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	return services, nil
}

func (r *Registry) list(opts []registry.ListOption) ([]*registry.Service, error) {
	o, ok := gomicro.Gather(registry.ListOptions{}, opts)
	if err := r.check(ok); err != nil {
		return nil, err
	}
	if has(o.Context, everywhereKey{}) {
		ctx, cancel := r.bound(o.Context)
		defer cancel()
		opts = append(slices.Clip(opts), registry.ListContext(ctx))
		return r.gather(ctx, func(d *datacenter) ([]*registry.Service, error) { return d.list(opts) })
	}
	services, err := r.datacenters[0].list(opts)
	if err == nil {
		r.showed(r.datacenters[0].label(services)) // a copy: what is returned is the caller's
	}
	return services, err
}

func (d *datacenter) list(opts []registry.ListOption) ([]*registry.Service, error) {
	services, err := d.registry.ListServices(opts...)
	return d.label(services), err
}

// showed takes note that a caller knows all services from now on: a watcher tells him what has changed since.
func (r *Registry) showed(services []*registry.Service) {
	all := catalog.New()
	for _, record := range recordsOf(services) {
		record.Key = dirOf(record.Name) + record.Key
		all.Put(record)
	}
	r.shown.LookWhole(dirOf, all, nil)
}
