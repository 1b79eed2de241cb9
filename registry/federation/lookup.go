package federation

import (
	"cmp"
	"context"
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
// for ten minutes. A data center that can't be asked counts with what it said last. If it hasn't said anything since
// the service is followed, the next one serves after a second. What this process registers is visible at once.
//
// Options other than [Datacenter] and [Everywhere] are passed on to the registries that are followed, which are asked
// then; what they answer counts for later lookups, too.
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
	if err := r.requireOpen(); err != nil {
		return nil, err
	}
	if len(opts) == 0 {
		if rt, ok := r.routes.byName.Load(name); ok && rt.(*route).IsReady() {
			snapshot, err := rt.(*route).known()
			return gomicro.Services(snapshot), err
		}
	}
	o, ok := gomicro.Gather(registry.GetOptions{}, opts)
	dc, one := gomicro.Kept[string](o.Context, datacenterKey{})
	_, everywhere := gomicro.Kept[bool](o.Context, everywhereKey{})
	if err := r.check(o.Context); err != nil {
		return nil, err
	}
	switch {
	case !ok:
		return nil, errNilOption
	case one && everywhere:
		return nil, fmt.Errorf("%w: Datacenter(%q) and Everywhere", ErrOption, dc)
	case !catalog.IsName(name): // the local registry says what is wrong with it
		return r.local().GetService(name, opts...)
	}
	ctx, cancel := r.bound(o.Context)
	defer cancel()
	ask := func(d *datacenter) ([]*registry.Service, error) { return d.services(ctx, name, opts) }
	switch {
	case one:
		d, err := r.datacenter(dc)
		if err != nil {
			return nil, err
		}
		return r.gather(ctx, []*datacenter{d}, ask)
	case everywhere:
		return r.gather(ctx, r.datacenters, ask)
	}
	snapshot, err := r.snapshot(ctx, name, opts)
	return gomicro.Services(snapshot), err
}

// datacenter returns the one with a name.
func (r *Registry) datacenter(name string) (*datacenter, error) {
	i := slices.IndexFunc(r.datacenters, func(d *datacenter) bool { return d.name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w %q", ErrDatacenter, name)
	}
	return r.datacenters[i], nil
}

// gather asks data centers, and returns what those have that can be asked. It is an error that some can't if the others
// have nothing.
func (r *Registry) gather(
	ctx context.Context, all []*datacenter, ask func(*datacenter) ([]*registry.Service, error),
) ([]*registry.Service, error) {
	type found struct {
		services []*registry.Service
		err      error
	}
	asked := make([]chan found, len(all))
	for i, d := range all {
		asked[i] = make(chan found, 1)
		r.group.Run(func() {
			services, err := ask(d)
			asked[i] <- found{services, err}
		})
	}
	var services []*registry.Service
	errs := make([]error, len(all))
	for i, d := range all {
		select {
		case f := <-asked[i]:
			services = append(services, f.services...)
			errs[i] = d.wrap(f.err)
		case <-ctx.Done(): // not every registry knows contexts
			errs[i] = d.wrap(context.Cause(ctx))
		}
	}
	if len(services) > 0 {
		return services, nil
	}
	return nil, join(errs)
}

// snapshot returns what is served of a service.
func (r *Registry) snapshot(ctx context.Context, name string, opts []registry.GetOption) (*catalog.Snapshot, error) {
	rt, err := r.routes.await(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(opts) > 0 {
		rt.reread(ctx, opts)
		rt.awaitDecision(ctx)
	}
	return rt.known()
}

// followed returns a service for a selector.
func (r *Registry) followed(ctx context.Context, name string) (feed.Followed, error) {
	if !catalog.IsName(name) {
		_, err := r.lookUp(name, nil)
		return nil, cmp.Or(err, registry.ErrNotFound)
	}
	ctx, cancel := r.bound(ctx)
	defer cancel()
	rt, err := r.routes.await(ctx, name)
	if err != nil {
		return nil, err
	}
	_, err = rt.known()
	return rt, err
}

// ListServices returns all services of the local data center, or with [ListEverywhere] those of all that can be asked:
// then one per name, version and data center. Each node's metadata says where it is. An empty registry is no error.
// Errors: the registry's; ErrOption, ErrClosed.
func (r *Registry) ListServices(opts ...registry.ListOption) ([]*registry.Service, error) {
	services, err := r.list(opts)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	return services, nil
}

func (r *Registry) list(opts []registry.ListOption) ([]*registry.Service, error) {
	o, ok := gomicro.Gather(registry.ListOptions{}, opts)
	if err := r.check(o.Context); err != nil {
		return nil, err
	}
	if !ok {
		return nil, errNilOption
	}
	ctx, cancel := r.bound(o.Context)
	defer cancel()
	of := r.datacenters[:1]
	_, everywhere := gomicro.Kept[bool](o.Context, everywhereKey{})
	if everywhere {
		of = r.datacenters
	}
	services, err := r.gather(ctx, of, func(d *datacenter) ([]*registry.Service, error) { return d.list(ctx, opts) })
	if err == nil && !everywhere {
		r.noteShown(r.datacenters[0].labeled(services)) // a copy: what is returned is the caller's
	}
	return services, err
}

// noteShown takes note that a caller knows all services from now on: a watcher tells him what has changed since.
func (r *Registry) noteShown(services []*registry.Service) {
	all := catalog.New()
	for _, record := range recordsOf(services) {
		record.Key = dirOf(record.Name) + record.Key
		all.Put(record)
	}
	r.shown.LookWhole(dirOf, all, nil)
}
