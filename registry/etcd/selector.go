package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go-micro.dev/v4/util/cmd"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/view"
)

func init() {
	cmd.DefaultSelectors["etcd"] = NewSelector
}

// ErrSelectorClosed is returned by a selector's Select and Init after its Close.
var ErrSelectorClosed = errors.New("selector is closed")

// NewSelector returns a selector that picks from the registry's own view, without copying it:
//
//	r := etcd.NewRegistry()
//	service := micro.NewService(
//		micro.Registry(r),
//		micro.Selector(etcd.NewSelector(selector.Registry(r))),
//	)
//
// It is go-micro's own selector in all that callers see, with the same strategies, filters and
// errors, but for these:
//
//   - Nodes are shared with everybody who picks them. Read them, don't change them. Filters and
//     strategies get services and slices of nodes that are theirs; nodes, endpoints and metadata are
//     shared.
//   - selector.RoundRobin is a rotation over all calls of a service; go-micro's begins anew at
//     each Select. Only the function itself is recognized, not one that calls it.
//   - Mark ejects a node when it can't be reached, or doesn't answer two calls in a row:
//     for up to a second, then for twice as long each time, up to 30 s. When the time is over, one call tries it.
//     A handler's own error counts as an answer. Its time ends when its record changes. If less than
//     a quarter of the nodes would be left, all of them are used.
//   - Reset forgets all that is known of a service's nodes. So does Init, for all services.
//   - [Weighted], [PreferZone] and [Grace] change how it picks.
//
// On a registry that isn't a [*Registry] it is go-micro's selector. The registry defaults to
// registry.DefaultRegistry, as there. With several options of a kind the last one counts.
//
// Select returns selector.ErrNotFound for a service without nodes, and selector.ErrNoneAvailable when
// the filters leave none, both as they are; ErrSelectorClosed; ErrOption for a nil option or filter, also one that
// NewSelector was given, until an Init; and the errors of [Registry.GetService]. It asks
// etcd only for a service that isn't followed yet, within the deadline of the SelectOptions'
// Context or else the registry's timeout. All methods may be called concurrently, and so may each
// Next.
func NewSelector(opts ...selector.Option) selector.Selector {
	s := &nodeSelector{}
	options, err := gather(selector.Options{Strategy: selector.Random}, opts)
	u := newSetup(options)
	u.err = err
	s.setup.Store(u)
	return s
}

type nodeSelector struct {
	mu    sync.Mutex // for replacing setup
	setup atomic.Pointer[setup]
}

// setup is what the present options come to, and what was learned under them.
type setup struct {
	options  selector.Options
	err      error             // what is wrong with them
	standard selector.Selector // go-micro's own, for a registry that isn't ours; nil otherwise
	registry *Registry
	policy   policy
	grace    time.Duration
	born     time.Time // when its clock began

	pools sync.Map // service → *pool

	mu      sync.Mutex // for adding to pools and to running, and closed
	closed  atomic.Bool
	running sync.WaitGroup // who watches for Grace
}

func newSetup(options selector.Options) *setup {
	if options.Registry == nil {
		options.Registry = registry.DefaultRegistry
	}
	if options.Strategy == nil {
		options.Strategy = selector.Random
	}
	u := &setup{options: options, born: time.Now()}
	var ours bool
	if u.registry, ours = options.Registry.(*Registry); !ours {
		u.standard = selector.NewSelector(func(o *selector.Options) { *o = options })
	}
	u.policy = newPolicy(options)
	u.grace, _ = value[time.Duration](options.Context, graceOption{})
	if ours && u.grace > 0 {
		u.registry.preserving.setups.Store(u, nil)
	}
	return u
}

// clock is monotonic, unlike the wall's, and cheaper.
func (u *setup) clock() int64 { return int64(time.Since(u.born)) }

// Init changes options and forgets what is known of nodes. With an error it changes nothing.
// Errors: ErrSelectorClosed, ErrOption.
func (s *nodeSelector) Init(opts ...selector.Option) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.setup.Load()
	if before.closed.Load() {
		return fmt.Errorf("init: %w", ErrSelectorClosed)
	}
	options, err := gather(before.options, opts)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	s.setup.Store(newSetup(options))
	return before.close()
}

// Options returns the options as they were given, with defaults filled in.
func (s *nodeSelector) Options() selector.Options { return s.setup.Load().options }

// String returns "etcd".
func (s *nodeSelector) String() string { return "etcd" }

// Close forgets everything. It may be called again. The registry stays open.
func (s *nodeSelector) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setup.Load().close()
}

// Select: see [NewSelector].
func (s *nodeSelector) Select(service string, opts ...selector.SelectOption) (selector.Next, error) {
	u := s.setup.Load()
	if len(opts) == 0 && u.policy.strategy == nil && u.standard == nil && u.registry.closing.Err() == nil {
		if p := u.known(service); p != nil && !p.present().empty() {
			return p.next(u.policy), nil
		}
	}
	return u.choose(service, opts)
}

// choose is Select for everything but the most frequent case.
func (u *setup) choose(service string, opts []selector.SelectOption) (selector.Next, error) {
	o, err := u.gather(opts)
	if err != nil {
		return nil, fmt.Errorf("select %q: %w", service, err)
	}
	if u.standard != nil {
		return u.standard.Select(service, opts...)
	}
	p, err := u.pool(o.Context, service)
	if err != nil {
		return nil, err
	}
	t := u.policy
	if o.Strategy != nil {
		t = t.with(o.Strategy)
	}
	if len(o.Filters) == 0 && t.strategy == nil {
		return p.next(t), nil
	}
	c := p.present()
	if c.empty() {
		return nil, selector.ErrNotFound
	}
	services := c.copied()
	for _, filter := range o.Filters {
		services = filter(services)
	}
	switch {
	case len(services) == 0:
		return nil, selector.ErrNoneAvailable
	case t.strategy != nil:
		return p.wrapStrategy(t.strategy, services), nil
	}
	return p.nextOf(t, nodesOf(services)), nil
}

// gather returns what the options of a Select come to, unless there is a reason not to select.
func (u *setup) gather(opts []selector.SelectOption) (selector.SelectOptions, error) {
	o, err := gather(selector.SelectOptions{}, opts)
	switch {
	case u.closed.Load():
		err = ErrSelectorClosed
	case u.err != nil:
		err = u.err
	case slices.ContainsFunc(o.Filters, func(f selector.Filter) bool { return f == nil }):
		err = errNilFilter
	}
	return o, err
}

// pool returns what is known of a service. It asks etcd if the service isn't followed.
func (u *setup) pool(ctx context.Context, service string) (*pool, error) {
	parts, err := u.registry.serving(ctx)
	if err != nil {
		return nil, fmt.Errorf("select %q: %w", service, err)
	}
	if p := u.known(service); p != nil {
		if !p.present().empty() {
			return p, nil
		}
		u.drop(p)
	}
	m, err := u.follow(ctx, parts, service)
	if err != nil {
		return nil, fmt.Errorf("select %q: %w", service, err)
	}
	p := newPool(u, m, service)
	if p.present().empty() {
		return nil, selector.ErrNotFound
	}
	return u.keep(p), nil
}

// follow returns the view that has a service.
func (u *setup) follow(ctx context.Context, p *parts, service string) (*view.View, error) {
	if err := checkServiceName(service); err != nil {
		return nil, err
	}
	ctx, cancel := u.registry.bound(ctx)
	defer cancel()
	_, m, err := p.views.Lookup(ctx, service)
	return m, err
}

func (u *setup) close() error {
	u.mu.Lock()
	u.closed.Store(true)
	u.pools.Range(func(_, p any) bool {
		u.drop(p.(*pool))
		return true
	})
	u.mu.Unlock()
	u.running.Wait()
	if u.standard != nil {
		return u.standard.Close()
	}
	u.registry.preserving.setups.Delete(u)
	return nil
}

// Mark notes how a call of a node went. It doesn't matter whether the node is the one that was
// picked or a copy.
func (s *nodeSelector) Mark(service string, node *registry.Node, err error) {
	u := s.setup.Load()
	if u.standard != nil {
		u.standard.Mark(service, node, err)
		return
	}
	if p, ok := u.pools.Load(service); ok && node != nil {
		p.(*pool).mark((*catalog.Node)(node), err)
	}
}

// Reset forgets what is known of a service's nodes.
func (s *nodeSelector) Reset(service string) {
	u := s.setup.Load()
	if u.standard != nil {
		u.standard.Reset(service)
		return
	}
	if p, ok := u.pools.Load(service); ok {
		u.drop(p.(*pool))
	}
}
