package federation

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/feed"
	"github.com/micro-etcd/micro-etcd/internal/group"
)

// Registry is a [registry.Registry] that consists of those of several data centers. All its methods may be called
// concurrently. Make one with [New].
type Registry struct {
	source
	datacenters []*datacenter // in the order of preference, the local one first
	below       int
	hold        time.Duration
	metrics     *metrics
	shown       *feed.Shown
	group       group.Group
	ctx         context.Context // ends with Close
	end         context.CancelFunc
	closed      sync.Once

	routes sync.Map    // service → *route
	all    atomic.Bool // every service of every data center is followed

	mu       sync.Mutex             // for changes of routes, and for what follows
	count    int                    // of routes
	watchers map[*feed.Watcher]bool // of all services
	listed   []chan struct{}        // by data center, closed when its services are known for the first time; nil before
}

// New returns a registry that registers at the local one of the given registries and looks services up in all of them.
// It doesn't use them yet. They stay the caller's: the federation doesn't close them. Errors: ErrOption.
func New(opts ...Option) (*Registry, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	r := &Registry{
		datacenters: o.datacenters(), below: o.below, hold: o.hold,
		shown: feed.NewShown(), watchers: make(map[*feed.Watcher]bool),
	}
	r.ctx, r.end = context.WithCancel(context.Background())
	r.source = feed.NewHasSource(&feed.Source{
		Is:   func(registry any) bool { other, ok := registry.(*Registry); return ok && other == r },
		Life: r.ctx, Check: r.serving, Follow: r.followService,
	})
	r.metrics = newMetrics(o.meters, r)
	r.group.Run(r.sweepLoop)
	return r, nil
}

func (r *Registry) local() registry.Registry { return r.datacenters[0].registry }

// Init passes options to the local registry, and to no other: go-micro's command line sets the address of that one.
// Errors: ErrClosed, and the registry's.
func (r *Registry) Init(opts ...registry.Option) error {
	if r.ctx.Err() != nil {
		return fmt.Errorf("init: %w", ErrClosed)
	}
	return r.local().Init(opts...)
}

// Options returns the local registry's.
func (r *Registry) Options() registry.Options { return r.local().Options() }

// String returns "federation".
func (r *Registry) String() string { return "federation" }

// Register registers at the local registry, with its errors. Other errors: ErrClosed.
func (r *Registry) Register(s *registry.Service, opts ...registry.RegisterOption) error {
	if r.ctx.Err() != nil {
		return fmt.Errorf("register: %w", ErrClosed)
	}
	err := r.local().Register(s, opts...)
	r.wrote(s)
	return err
}

// Deregister deregisters at the local registry, with its errors. Other errors: ErrClosed.
func (r *Registry) Deregister(s *registry.Service, opts ...registry.DeregisterOption) error {
	if r.ctx.Err() != nil {
		return fmt.Errorf("deregister: %w", ErrClosed)
	}
	err := r.local().Deregister(s, opts...)
	r.wrote(s)
	return err
}

// wrote makes lookups see what this process has written.
func (r *Registry) wrote(s *registry.Service) {
	if s == nil {
		return
	}
	if known, ok := r.routes.Load(s.Name); ok {
		rt := known.(*route)
		ctx, cancel := context.WithTimeout(rt.ctx, patience)
		defer cancel()
		_ = rt.read(ctx, 0)
		rt.settle(ctx)
	}
}

// Ready returns nil if the local registry is ready, as far as it has a method of that name. The remote ones needn't be.
// Errors: ErrClosed, and the registry's.
func (r *Registry) Ready() error {
	if r.ctx.Err() != nil {
		return fmt.Errorf("ready: %w", ErrClosed)
	}
	return r.datacenters[0].ready()
}

// closeTime is how long Close waits for calls of registries.
const closeTime = patience

// Close ends all watchers and waits for every goroutine, but not longer than a second for a call of a registry that
// doesn't end with its context. The registries stay open. It may be called again.
func (r *Registry) Close() error {
	r.closed.Do(func() {
		r.end()
		r.metrics.close()
		r.mu.Lock()
		for w := range r.watchers {
			w.End(ErrClosed)
		}
		r.mu.Unlock()
		for _, rt := range r.followed() {
			rt.EndWatchers(ErrClosed)
			rt.stop()
		}
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

const (
	// idleTime is how long a service that nobody watches is followed after it was looked up last, and a remote data
	// center after it was needed last.
	idleTime = 10 * time.Minute
	// sweepTime is how often that is looked for.
	sweepTime = time.Minute
	// maxUnwatched bounds the services that are followed, but for those that are watched.
	maxUnwatched = 1000
)

// route returns a service as it is followed from now on; nil after Close.
func (r *Registry) route(name string) *route {
	if rt, ok := r.routes.Load(name); ok {
		return rt.(*route)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.routeLocked(name)
}

func (r *Registry) routeLocked(name string) *route {
	if rt, ok := r.routes.Load(name); ok {
		return rt.(*route)
	}
	if r.ctx.Err() != nil {
		return nil
	}
	r.makeRoomLocked()
	rt := newRoute(r, name)
	for w := range r.watchers {
		rt.Attach(w)
		rt.DeliverInitial(w)
	}
	r.routes.Store(name, rt)
	r.count++
	rt.mu.Lock()
	rt.followLocked(0)
	rt.mu.Unlock()
	rt.decide()
	return rt
}

// makeRoomLocked ends the service that was looked up longest ago, if there are too many.
func (r *Registry) makeRoomLocked() {
	if r.count < maxUnwatched || r.all.Load() {
		return
	}
	var oldest *route
	for _, rt := range r.followed() {
		if rt.watching == 0 && (oldest == nil || rt.idleFrom.Before(oldest.idleFrom)) {
			oldest = rt
		}
	}
	if oldest != nil {
		r.dropLocked(oldest)
	}
}

func (r *Registry) dropLocked(rt *route) {
	r.routes.Delete(rt.name)
	r.count--
	rt.stop()
}

// followed returns all services that are followed.
func (r *Registry) followed() []*route {
	var all []*route
	r.routes.Range(func(_, rt any) bool {
		all = append(all, rt.(*route))
		return true
	})
	return all
}

func (r *Registry) sweepLoop() {
	tick := time.NewTicker(sweepTime)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.sweep(time.Now())
		case <-r.ctx.Done():
			return
		}
	}
}

// sweep ends what is idle.
func (r *Registry) sweep(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rt := range r.followed() {
		switch {
		case rt.used.Swap(false), rt.watching > 0, len(r.watchers) > 0 && !rt.isEmpty():
			rt.idleFrom = now
		case now.Sub(rt.idleFrom) >= idleTime:
			r.dropLocked(rt)
			continue
		}
		rt.leaveRemotes(now)
	}
	r.shown.Sweep(func(string) bool { return false })
}

// moved tells that another data center serves a service.
func (r *Registry) moved(service string, m *move) {
	if m.from == nobody || m.to == nobody {
		return
	}
	from, to := r.datacenters[m.from].name, r.datacenters[m.to].name
	level, why := logger.InfoLevel, "has enough nodes"
	if m.to > m.from {
		level, why = logger.WarnLevel, from+" has too few nodes"
		r.metrics.failedOver(from, to)
	} else {
		why = to + " " + why
	}
	if l := r.Options().Logger; l != nil {
		l.Logf(level, "federation: %s is served from %s instead of %s: %s", service, to, from, why)
	}
}

// source lets selectors pick from what is served.
type source = feed.HasSource

// serving returns why a call isn't served, if so.
func (r *Registry) serving(ctx context.Context) error {
	switch {
	case r.ctx.Err() != nil:
		return ErrClosed
	case ctx != nil:
		return ctx.Err()
	}
	return nil
}

// check returns why a call isn't served, if so. ok says whether none of its options is nil.
func (r *Registry) check(ok bool) error {
	switch {
	case r.ctx.Err() != nil:
		return ErrClosed
	case !ok:
		return fmt.Errorf("%w: an option is nil", ErrOption)
	}
	return nil
}
