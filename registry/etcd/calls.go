package etcd

import (
	"context"
	"fmt"

	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/registration"
	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
)

// Register puts every node of the service into etcd and keeps it there until Deregister or Close: it comes back by
// itself when its lease or key is lost. The TTL is rounded up to whole seconds; without one it is 90 s, go-micro's own
// default. Either way the record lives as long as the process.
//
// nil means that etcd has the record, or has had it and this registry is putting it back: repeating a Register that
// etcd has taken, unchanged in every field, returns nil at once and costs no request, connected or not.
// [Registry.Status] tells what is missing.
//
// An error that wraps ErrPending leaves the registration in force: the registry goes on trying until Deregister or
// Close. Repeating it while etcd is away returns the error at once.
//
// Errors: ErrNilService, ErrServiceName, ErrNoNodes, ErrNodeID, ErrTTL, ErrTooLarge, ErrMalformed, ErrPending,
// ErrWithdrawn, ErrClosed, those of New, and as of all calls ErrOption for an option that is nil.
func (r *Registry) Register(s *registry.Service, opts ...registry.RegisterOption) error {
	o, err := gather(registry.RegisterOptions{}, opts)
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	if err := checkService(s); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	if err := checkSizes(s); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	if err := registration.CheckTTL(o.TTL); err != nil {
		return fmt.Errorf("register %q: %w", s.Name, err)
	}
	p, err := r.serving(o.Context)
	if err != nil {
		return fmt.Errorf("register %q: %w", s.Name, err)
	}
	bound := func() (context.Context, context.CancelFunc) { return r.bound(o.Context) }
	return p.registrar.Register(bound, s.Name, &offered{service: s}, o.TTL)
}

// Deregister removes the service's nodes; only their ids count. What this registry registered is removed if it is still
// ours: a record that another process has put under the same id stays. What of that couldn't be removed is no longer
// renewed, and goes on being removed behind the caller's back, also if its context has ended. What this registry never
// registered is removed whosever it is, but only tried once, within the call: after an error it may still be there. All
// nodes are tried, and the error joins what went wrong.
//
// Errors: ErrNilService, ErrServiceName, ErrNoNodes, ErrNodeID, ErrClosed, and those of New.
func (r *Registry) Deregister(s *registry.Service, opts ...registry.DeregisterOption) error {
	o, err := gather(registry.DeregisterOptions{}, opts)
	if err != nil {
		return fmt.Errorf("deregister: %w", err)
	}
	if err := checkService(s); err != nil {
		return fmt.Errorf("deregister: %w", err)
	}
	p, err := r.serving(context.Background()) // also with a context that has ended, as is usual at the end
	if err != nil {
		return fmt.Errorf("deregister %q: %w", s.Name, err)
	}
	ctx, cancel := r.bound(o.Context)
	defer cancel()
	return p.registrar.Deregister(ctx, s.Name, nodeIDs(s))
}

func nodeIDs(s *registry.Service) []string {
	ids := make([]string, len(s.Nodes))
	for i, n := range s.Nodes {
		ids[i] = n.Id
	}
	return ids
}

// GetService returns one service per version, sorted by version, with nodes sorted by id. The result belongs to the
// caller. The first lookup of a name asks etcd; from then on it is followed, and answered from the local view even
// while etcd is away, until nobody has looked for ten minutes, also a name without nodes. Of more than a thousand
// services that nobody watches those without nodes are dropped first, and then those that nobody has looked up for
// longest. This process's own writes are visible at once.
//
// Errors: registry.ErrNotFound when there is no node, ErrServiceName, ErrClosed, and those of New. If etcd has to be
// asked, also its refusal (permission, user), at once, and context.DeadlineExceeded with what the connection's trouble
// is.
func (r *Registry) GetService(name string, opts ...registry.GetOption) ([]*registry.Service, error) {
	ctx, linearizable, err := gatherGet(opts)
	if err != nil {
		return nil, fmt.Errorf("get service %q: %w", name, err)
	}
	snapshot, err := r.look(ctx, name, linearizable)
	if err != nil {
		return nil, fmt.Errorf("get service %q: %w", name, err)
	}
	services := gomicro.Services(snapshot)
	if services == nil {
		return nil, registry.ErrNotFound
	}
	return services, nil
}

func (r *Registry) look(ctx context.Context, name string, linearizable bool) (*catalog.Snapshot, error) {
	p, err := r.serving(ctx)
	if err != nil {
		return nil, err
	}
	if !linearizable {
		if snapshot, ok := p.views.Known(name); ok {
			return snapshot, nil
		}
	}
	if err := checkServiceName(name); err != nil {
		return nil, err
	}
	ctx, cancel := r.bound(ctx)
	defer cancel()
	if linearizable {
		return p.views.LookupLinearizable(ctx, name)
	}
	snapshot, _, err := p.views.Lookup(ctx, name)
	return snapshot, err
}

// ListServices returns every version of every service with its nodes, sorted by name and version. The result belongs to
// the caller. It asks etcd, unless this registry has a view of everything: while a watcher of all services is open, and
// for ten minutes after that was last used. An empty registry is no error.
//
// Errors: ErrClosed, those of New, and etcd's refusal or context.DeadlineExceeded as with GetService.
func (r *Registry) ListServices(opts ...registry.ListOption) ([]*registry.Service, error) {
	o, err := gather(registry.ListOptions{}, opts)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	p, err := r.serving(o.Context)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	snapshots, ok := p.views.List()
	if !ok {
		ctx, cancel := r.bound(o.Context)
		defer cancel()
		if snapshots, err = p.views.ListLinearizable(ctx); err != nil {
			return nil, fmt.Errorf("list services: %w", err)
		}
	}
	services := make([]*registry.Service, 0, len(snapshots))
	for _, s := range snapshots {
		services = append(services, gomicro.Services(s)...)
	}
	return services, nil
}

// Watch returns a watcher of one service (registry.WatchService) or of all. It delivers every change from now on, and
// before that those which happened since this registry's lookups of the last minute, so that a lookup followed by a
// watch misses nothing. It repairs itself after whatever happens to the connection or to etcd. If etcd is away, Watch
// still returns a working watcher; it then begins with everything that etcd has when it is back.
//
// registry.WatchContext bounds the watcher's life, and registry.Timeout the call.
//
// Several goroutines may call the watcher's Next and Stop. Next blocks until there is a change, and fails only when the
// watcher has ended, with registry.ErrWatcherStopped: as it is after Stop, and wrapped with the reason after Close or
// the end of WatchContext. Stop may be called again.
//
// Errors: ErrServiceName, ErrClosed, those of New, and etcd's refusal (permission, user).
func (r *Registry) Watch(opts ...registry.WatchOption) (registry.Watcher, error) {
	o, err := gather(registry.WatchOptions{}, opts)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	if o.Service != "" {
		if err := checkServiceName(o.Service); err != nil {
			return nil, fmt.Errorf("watch: %w", err)
		}
	}
	p, err := r.serving(o.Context)
	if err != nil {
		return nil, fmt.Errorf("watch %q: %w", o.Service, err)
	}
	life := o.Context
	if life == nil {
		life = context.Background()
	}
	ctx, cancel := r.bound(context.Background())
	defer cancel()
	w, err := p.views.Watch(ctx, life, o.Service)
	if err != nil {
		return nil, fmt.Errorf("watch %q: %w", o.Service, err)
	}
	return gomicro.Watcher{Watcher: w}, nil
}

// Client returns the etcd client in use once it has a connection, for tools that look into etcd beside the registry: it
// has the registry's addresses, TLS and user. It belongs to the registry: Close closes it, and so does an Init with
// other connection settings. A nil ctx means [registry.Timeout] alone.
//
// Errors: ErrClosed, those of New, etcd's refusal of the user or password, and a missed deadline with what is wrong
// with the connection.
func (r *Registry) Client(ctx context.Context) (*clientv3.Client, error) {
	if _, err := r.serving(ctx); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	ctx, cancel := r.bound(ctx)
	defer cancel()
	cl, err := r.connector.Await(ctx)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return cl.Client, nil
}
