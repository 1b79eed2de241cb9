package federation

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/feed"
)

// Registry is a [registry.Registry] that consists of those of several data centers. All its methods may be called
// concurrently. Make one with [New].
type Registry struct {
	source
	*shared
	routes *routes
	closed sync.Once
}

// source lets selectors pick from what is served.
type source = feed.HasSource

// Init passes options to the local registry, and to no other: go-micro's command line sets the address of that one.
// Errors: ErrClosed, and the registry's.
func (r *Registry) Init(opts ...registry.Option) error {
	if err := r.requireOpen(); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	return r.local().Init(opts...)
}

// Options returns the local registry's.
func (r *Registry) Options() registry.Options { return r.local().Options() }

// String returns "federation".
func (r *Registry) String() string { return "federation" }

// Register registers at the local registry, with its errors. Other errors: ErrClosed.
func (r *Registry) Register(s *registry.Service, opts ...registry.RegisterOption) error {
	if err := r.requireOpen(); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	err := r.local().Register(s, opts...)
	r.readOwnWrite(s)
	return err
}

// Deregister deregisters at the local registry, with its errors. Other errors: ErrClosed.
func (r *Registry) Deregister(s *registry.Service, opts ...registry.DeregisterOption) error {
	if err := r.requireOpen(); err != nil {
		return fmt.Errorf("deregister: %w", err)
	}
	err := r.local().Deregister(s, opts...)
	r.readOwnWrite(s)
	return err
}

// readOwnWrite makes lookups see what this process has written.
func (r *Registry) readOwnWrite(s *registry.Service) {
	if s == nil {
		return
	}
	if known, ok := r.routes.byName.Load(s.Name); ok {
		rt := known.(*route)
		ctx, cancel := context.WithTimeout(rt.life, answerTime)
		defer cancel()
		_ = rt.read(ctx, 0) // whoever follows the service reads it again
		rt.awaitDecision(ctx)
	}
}

// Ready returns nil if the local registry is ready, as far as it has a method of that name. The remote ones needn't be.
// Errors: ErrClosed, and the registry's.
func (r *Registry) Ready() error {
	if err := r.requireOpen(); err != nil {
		return fmt.Errorf("ready: %w", err)
	}
	return r.datacenters[0].ready()
}

// closeTime is how long Close waits for calls of registries.
const closeTime = time.Second

// Close ends all watchers and waits for every goroutine, but not longer than a second for a call of a registry that
// doesn't end with its context. The registries stay open. It may be called again.
func (r *Registry) Close() error {
	r.closed.Do(func() {
		r.end()
		r.metrics.close()
		r.routes.close()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.group.Close()
		}()
		select {
		case <-ended:
		case <-time.After(closeTime):
		}
	})
	return nil
}

// defaultTimeout is go-micro's (registry/options.go), for a local registry without one.
const defaultTimeout = 5 * time.Second

// bound returns a context that ends with ctx, in time, and with the federation.
func (r *Registry) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, abort := context.WithCancelCause(ctx)
	stop := context.AfterFunc(r.ctx, func() { abort(ErrClosed) })
	timeout := func() {}
	if _, limited := ctx.Deadline(); !limited {
		left := r.local().Options().Timeout
		if left <= 0 {
			left = defaultTimeout
		}
		ctx, timeout = context.WithTimeout(ctx, left)
	}
	return ctx, func() { stop(); timeout(); abort(nil) }
}

func (r *Registry) requireOpen() error {
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	return nil
}

// check returns why a call with a context isn't served, if so.
func (r *Registry) check(ctx context.Context) error {
	if err := r.requireOpen(); err != nil || ctx == nil {
		return err
	}
	return ctx.Err()
}

// Status returns the present state. It asks nobody.
func (r *Registry) Status() Status {
	var s Status
	for _, rt := range r.routes.list() {
		s.Services = append(s.Services, rt.status())
	}
	slices.SortFunc(s.Services, func(a, b ServiceStatus) int { return cmp.Compare(a.Name, b.Name) })
	for i, d := range r.datacenters {
		is := DatacenterStatus{Name: d.name, Local: i == 0, Err: d.ready()}
		for _, service := range s.Services {
			if service.Datacenter == d.name {
				is.Serving++
			}
			if err := service.Errs[d.name]; err != nil && is.Err == nil {
				is.Err = fmt.Errorf("service %q: %w", service.Name, err)
			}
		}
		s.Datacenters = append(s.Datacenters, is)
	}
	return s
}
