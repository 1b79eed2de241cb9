package etcd

import (
	"cmp"
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
	"github.com/micro-etcd/micro-etcd/internal/feed"
	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
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
// It is go-micro's own selector in all that callers see, with the same strategies, filters and errors, but for these:
//
//   - Nodes are shared with everybody who picks them. Read them, don't change them. Filters and strategies get services
//     and slices of nodes that are theirs; nodes, endpoints and metadata are shared.
//   - selector.RoundRobin is a rotation over all calls of a service; go-micro's begins anew at each Select. Only the
//     function itself is recognized, not one that calls it.
//   - Mark ejects a node when it can't be reached, or doesn't answer two calls in a row: for up to a second, then for
//     twice as long each time, up to 30 s. When the time is over, one call tries it. A handler's own error counts as an
//     answer. Its time ends when its record changes. If less than a quarter of the nodes would be left, all of them are
//     used.
//   - Reset forgets all that is known of a service's nodes. So does Init, for all services.
//   - [Weighted], [PreferZone] and [Grace] change how it picks.
//
// It picks from a federation (registry/federation) just so, but for Grace, which is refused there: what a mass removal
// leaves too few of is served from another data center. On any other registry it is go-micro's selector. The registry
// defaults to registry.DefaultRegistry, as there. With several options of a kind the last one counts.
//
// Select returns selector.ErrNotFound for a service without nodes, and selector.ErrNoneAvailable when the filters leave
// none, both as they are; ErrSelectorClosed; ErrOption for a nil option or filter, or Grace on a federation, also if
// NewSelector was given it, until an Init; and the errors of [Registry.GetService]. It asks etcd only for a service
// that isn't followed yet, within the deadline of the SelectOptions' Context or else the registry's timeout. All
// methods may be called concurrently, and so may each Next.
func NewSelector(opts ...selector.Option) selector.Selector {
	s := &nodeSelector{}
	options, err := gatherSelector(selector.Options{Strategy: selector.Random}, opts)
	st := newSelectorState(options)
	st.err = err
	s.state.Store(st)
	return s
}

type nodeSelector struct {
	mu    sync.Mutex // for replacing state
	state atomic.Pointer[selectorState]
}

// selectorState is what the present options come to, and what was learned under them.
type selectorState struct {
	options  selector.Options
	err      error             // what is wrong with them
	standard selector.Selector // go-micro's own, for a registry that is no source; nil otherwise
	source   *feed.Source
	registry *Registry // for Grace
	policy   policy
	grace    time.Duration
	born     time.Time // when its clock began

	pools sync.Map // service → *pool

	mu      sync.Mutex // for adding to pools and to running, and closed
	closed  atomic.Bool
	running sync.WaitGroup // who watches for Grace
}

// gatherSelector is gather for the options of a selector.
func gatherSelector(o selector.Options, opts []selector.Option) (selector.Options, error) {
	all, err := gather(o, opts)
	if err != nil {
		return all, err
	}
	r := cmp.Or(all.Registry, registry.DefaultRegistry)
	_, ours := r.(*Registry)
	if graceOf(all) > 0 && !ours && feed.SourceOf(r) != nil {
		return all, fmt.Errorf("%w: Grace on a federation, which fails over instead", ErrOption)
	}
	return all, nil
}

func graceOf(o selector.Options) time.Duration {
	d, _ := gomicro.Kept[time.Duration](o.Context, graceOption{})
	return d
}

func newSelectorState(options selector.Options) *selectorState {
	if options.Registry == nil {
		options.Registry = registry.DefaultRegistry
	}
	if options.Strategy == nil {
		options.Strategy = selector.Random
	}
	st := &selectorState{options: options, born: time.Now()}
	if st.source = feed.SourceOf(options.Registry); st.source == nil {
		st.standard = selector.NewSelector(func(o *selector.Options) { *o = options })
	}
	st.policy = newPolicy(options)
	if st.registry, _ = options.Registry.(*Registry); st.registry != nil {
		st.grace = graceOf(options)
	}
	if st.grace > 0 {
		st.registry.graceSelectors.add(st)
	}
	return st
}

// clock is monotonic, unlike the wall's, and cheaper.
func (st *selectorState) clock() int64 { return int64(time.Since(st.born)) }

// Init changes options and forgets what is known of nodes. With an error it changes nothing. Errors: ErrSelectorClosed,
// ErrOption.
func (s *nodeSelector) Init(opts ...selector.Option) error {
	before, err := s.replace(opts)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	return before.close()
}

func (s *nodeSelector) replace(opts []selector.Option) (before *selectorState, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.state.Load()
	if before.closed.Load() {
		return nil, ErrSelectorClosed
	}
	options, err := gatherSelector(before.options, opts)
	if err != nil {
		return nil, err
	}
	s.state.Store(newSelectorState(options))
	before.refuse()
	return before, nil
}

// Options returns the options as they were given, with defaults filled in.
func (s *nodeSelector) Options() selector.Options { return s.state.Load().options }

// String returns "etcd".
func (s *nodeSelector) String() string { return "etcd" }

// Close forgets everything. It may be called again. The registry stays open.
func (s *nodeSelector) Close() error {
	s.mu.Lock()
	st := s.state.Load()
	st.refuse()
	s.mu.Unlock()
	return st.close()
}

// Select: see [NewSelector].
func (s *nodeSelector) Select(service string, opts ...selector.SelectOption) (selector.Next, error) {
	st := s.state.Load()
	if len(opts) == 0 && st.policy.strategy == nil && st.standard == nil && st.source.Life.Err() == nil {
		if p := st.known(service); p != nil && !p.present().empty() {
			return p.next(st.policy), nil
		}
	}
	return st.choose(service, opts)
}

// choose is Select for everything but the most frequent case.
func (st *selectorState) choose(service string, opts []selector.SelectOption) (selector.Next, error) {
	o, err := st.gather(opts)
	if err != nil {
		return nil, fmt.Errorf("select %q: %w", service, err)
	}
	if st.standard != nil {
		return st.standard.Select(service, opts...)
	}
	p, err := st.pool(o.Context, service)
	if err != nil {
		return nil, err
	}
	t := st.policy
	if o.Strategy != nil {
		t = t.with(o.Strategy)
	}
	if len(o.Filters) == 0 && t.strategy == nil {
		return p.next(t), nil
	}
	ps := p.present()
	if ps.empty() {
		return nil, selector.ErrNotFound
	}
	services := ps.copied()
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
func (st *selectorState) gather(opts []selector.SelectOption) (selector.SelectOptions, error) {
	o, err := gather(selector.SelectOptions{}, opts)
	switch {
	case st.closed.Load():
		err = ErrSelectorClosed
	case st.err != nil:
		err = st.err
	case slices.ContainsFunc(o.Filters, func(f selector.Filter) bool { return f == nil }):
		err = errNilFilter
	}
	return o, err
}

// pool returns what is known of a service. It asks etcd if the service isn't followed.
func (st *selectorState) pool(ctx context.Context, service string) (*pool, error) {
	if err := st.source.Check(ctx); err != nil {
		return nil, fmt.Errorf("select %q: %w", service, err)
	}
	if p := st.known(service); p != nil {
		if !p.present().empty() {
			return p, nil
		}
		st.drop(p)
	}
	followed, err := st.source.Follow(ctx, service)
	if err != nil {
		return nil, fmt.Errorf("select %q: %w", service, err)
	}
	p := newPool(st, followed, service)
	if p.present().empty() {
		return nil, selector.ErrNotFound
	}
	return st.keep(p), nil
}

// refuse ends what the options have come to.
func (st *selectorState) refuse() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed.Store(true)
	st.eachPool(st.drop)
}

// close waits until all that refuse has ended is over. It may be called again.
func (st *selectorState) close() error {
	st.running.Wait()
	if st.standard != nil {
		return st.standard.Close()
	}
	if st.grace > 0 {
		st.registry.graceSelectors.remove(st)
	}
	return nil
}

// Mark notes how a call of a node went. It doesn't matter whether the node is the one that was picked or a copy.
func (s *nodeSelector) Mark(service string, node *registry.Node, err error) {
	st := s.state.Load()
	if st.standard != nil {
		st.standard.Mark(service, node, err)
		return
	}
	if p, ok := st.pools.Load(service); ok && node != nil {
		p.(*pool).mark((*catalog.Node)(node), err)
	}
}

// Reset forgets what is known of a service's nodes.
func (s *nodeSelector) Reset(service string) {
	st := s.state.Load()
	if st.standard != nil {
		st.standard.Reset(service)
		return
	}
	if p, ok := st.pools.Load(service); ok {
		st.drop(p.(*pool))
	}
}
