package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/util/cmd"
	"go.opentelemetry.io/otel/metric"

	"github.com/micro-etcd/micro-etcd/internal/cachefile"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/feed"
	"github.com/micro-etcd/micro-etcd/internal/group"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/prober"
	"github.com/micro-etcd/micro-etcd/internal/registration"
	"github.com/micro-etcd/micro-etcd/internal/view"
)

func init() {
	cmd.DefaultRegistries["etcd"] = NewRegistry
}

// Registry is a [registry.Registry] on etcd. All its methods may be called concurrently, Init included. Make one with
// [New] or [NewRegistry].
//
// Every call returns within its context's deadline if it has one, and otherwise within registry.Timeout (default 5 s),
// whatever etcd does. [Registry.Init] and [Registry.Close] say what may come on top.
type Registry struct {
	source
	env       environment
	connector *etcdconn.Connector
	group     group.Group
	metrics   *metrics.Metrics
	reporter  *reporter

	closing context.Context // ends when Close begins
	refuse  context.CancelCauseFunc
	ctx     context.Context // ends when Close has deregistered what is ours
	end     context.CancelFunc

	probe          *probe
	graceSelectors graceSelectors
	started        sync.Once
	closed         sync.Once
	closeErr       error

	components atomic.Pointer[components]

	mu    sync.Mutex       // for changes of what follows and of components
	given registry.Options // what the options have come to so far
	inUse bool             // a call may have used components
}

// New returns a registry, or the error in its configuration. It doesn't connect: the first call that needs etcd does.
// It waits for a collection of metrics that is under way. Errors: ErrAddress, ErrTLS, ErrOption.
func New(opts ...registry.Option) (*Registry, error) {
	r := newRegistry(opts)
	if err := r.components.Load().err; err != nil {
		return nil, err
	}
	return r, nil
}

// NewRegistry is New for go-micro's options and command line, which can't take an error: a
// configuration error is returned by every call until an Init mends it. What it returns is a
// *Registry, for who needs Status or Close.
func NewRegistry(opts ...registry.Option) registry.Registry {
	return newRegistry(opts)
}

func newRegistry(opts []registry.Option) *Registry {
	r := &Registry{env: readEnvironment(), metrics: metrics.New()}
	r.closing, r.refuse = context.WithCancelCause(context.Background())
	r.ctx, r.end = context.WithCancel(context.Background())
	r.connector = etcdconn.NewConnector(r.ctx, r.group.Run, r.metrics, r.reconnected, func() { r.reporter.changed.Send() })
	r.source = feed.NewHasSource(&feed.Source{
		Is:   func(registry any) bool { other, ok := registry.(*Registry); return ok && other == r },
		Life: r.closing, Check: r.check, Follow: r.followed,
	})
	r.reporter = newReporter(r.connector, &r.components, r.Status, func() logger.Logger { return r.options().Logger })
	r.probe = newProbe(r.connector, &r.components, r.timeout, r.reporter)
	r.mu.Lock()
	given, err := apply(*registry.NewOptions(), opts)
	if err == nil {
		err = r.configureLocked(given)
	}
	if err != nil {
		r.given = given
		r.components.Store(&components{err: err})
	}
	r.mu.Unlock()
	r.export()
	return r
}

// Init changes options on the living registry: registrations, views and watchers carry over to the new settings, and a
// client is replaced only if its settings changed. An Init that returns an error changes nothing. It doesn't wait for
// etcd, but for a collection of metrics that is under way. Errors: ErrAddress, ErrTLS, ErrOption, ErrClosed.
func (r *Registry) Init(opts ...registry.Option) error {
	if r.closing.Err() != nil {
		return fmt.Errorf("init: %w", ErrClosed)
	}
	err := r.reconfigure(opts)
	if err == nil {
		r.export()
	}
	return err
}

func (r *Registry) reconfigure(opts []registry.Option) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	given, err := apply(r.given, opts)
	if err != nil {
		return err
	}
	return r.configureLocked(given)
}

// export lets the MeterProvider of the present configuration collect. It may block on the provider, so mu must not be
// held.
func (r *Registry) export() {
	if r.components.Load().err == nil {
		r.metrics.Export(func() metric.MeterProvider { return r.components.Load().config.meters }, r.state)
	}
}

// Status returns the present state. It never waits for etcd.
func (r *Registry) Status() Status {
	p := r.components.Load()
	s := Status{Err: p.err, Closed: r.closing.Err() != nil}
	if cl := r.connector.Current(); cl != nil {
		s.Connected = cl.IsConnected()
		s.Cluster = cl.HighWater.Now().Cluster
	}
	if p.err != nil {
		return s
	}
	s.Endpoints = slices.Clone(p.config.settings.Endpoints)
	own := p.registrar.Status()
	for i := range own {
		s.Registrations = append(s.Registrations, registrationStatus(&own[i]))
	}
	lost := r.graceSelectors.withGrace(p.config.keys)
	for _, f := range p.views.Status() {
		s.Followed = append(s.Followed, FollowedStatus{
			Prefix: f.Prefix, Ready: f.Ready, Nodes: f.Nodes, Watchers: f.Watchers, Queued: f.Queued, Lost: lost[f.Prefix],
			Revision: f.Revision, Cached: f.Cached, Stale: f.Stale, Err: f.Err,
		})
	}
	s.Malformed = p.views.Malformed.Total()
	s.CacheErr = p.views.Saver.Err()
	return s
}

// Ready returns nil if the registry does all that it was asked to do: what is registered is in etcd and in service, and
// what was looked up is followed. Else the error joins what is wrong. It never waits for etcd. A registry that has
// nothing to do yet is ready.
//
// It is also an error that etcd is away, which lookups and records survive. So think before an orchestrator stops or
// starves processes for it: all of them would go at once.
//
// Errors: ErrClosed, ErrPending, ErrOutOfService, those of New, and what Status has.
func (r *Registry) Ready() error {
	s := r.Status()
	if err := s.ready(); err != nil {
		return fmt.Errorf("ready: %w", err)
	}
	return nil
}

// state is Status for metrics.
func (r *Registry) state() metrics.State {
	s := r.Status()
	return s.state()
}

// configureLocked takes over options if they are good.
func (r *Registry) configureLocked(given registry.Options) error {
	c, err := newConfig(given, r.env)
	if err != nil {
		return err
	}
	before := r.components.Load()
	now := &components{config: c}
	switch {
	case before == nil || before.err != nil:
		r.assemble(now)
	case c.keys == before.config.keys:
		now.registrar, now.views = before.registrar, before.views
	case r.inUse:
		return fmt.Errorf(
			"%w: prefix %q can't become %q, the registry is in use", ErrOption, before.config.keys.Prefix, c.keys.Prefix,
		)
	default:
		r.assemble(now)
	}
	r.given = given
	r.components.Store(now)
	if before == nil || before.err != nil || !c.settings.equal(before.config.settings) {
		r.connectLocked(c.settings)
	}
	if r.inUse {
		r.saveViewsLocked(now)
	}
	if before != nil && before.config != nil && before.config.checks != c.checks {
		now.registrar.RetryNow()
	}
	return nil
}

// saveViewsLocked saves views from now on, if that is wanted.
func (r *Registry) saveViewsLocked(p *components) {
	if p.config.cacheDir.Path != "" {
		p.views.Saver.Start(r.ctx)
	}
}

// assemble makes the components that depend on the prefix.
func (r *Registry) assemble(p *components) {
	p.views = view.New(view.Config{
		Connector: r.connector,
		Keys:      p.config.keys,
		Timeout:   r.timeout,
		Changed:   r.reporter.changed.Send,
		CacheDir:  func() cachefile.Dir { return r.components.Load().config.cacheDir },
		Own:       func(yield func(*catalog.Record) bool) { p.registrar.Records(yield) },
		Warnf: func(format string, args ...any) {
			r.reporter.note(func() { r.reporter.warnf(format, args...) })
		},
	})
	p.registrar = registration.New(registration.Config{
		Connector:  r.connector,
		Keys:       p.config.keys,
		Timeout:    r.timeout,
		Put:        p.views.OwnPut,
		Deleted:    func(key string, revision int64) { r.deleted(p, key, revision) },
		RolledBack: r.probe.alarm.Send,
		Changed:    r.reporter.changed.Send,
		Checks:     func(of *catalog.Record) *[]prober.Check { return r.components.Load().config.checksOf(of) },
	})
}

// connectLocked makes settings current. The streams of the client before end at once, and every loop goes on with the
// new one. Records left at a previous cluster expire with their TTL.
func (r *Registry) connectLocked(s settings) {
	p := r.components.Load()
	r.connector.Replace(s.Config)
	p.views.ClientChanged()
	p.registrar.Reset()
}

// deleted shows a delete of ours that etcd has acknowledged to the views, and to selectors, for which it isn't a loss.
func (r *Registry) deleted(p *components, key string, revision int64) {
	p.views.OwnDelete(key, revision)
	r.graceSelectors.endGrace(p.config.keys, key)
}

// Options returns the options as they were given, with defaults filled in.
func (r *Registry) Options() registry.Options {
	o := r.options()
	o.Addrs = slices.Clone(o.Addrs)
	return o
}

func (r *Registry) options() registry.Options {
	if c := r.components.Load().config; c != nil {
		return c.options
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.given
}

// String returns "etcd".
func (r *Registry) String() string { return "etcd" }

func (r *Registry) timeout() time.Duration { return r.options().Timeout }

// source lets selectors pick from what the registry has.
type source = feed.HasSource

func (r *Registry) check(ctx context.Context) error {
	_, err := r.serving(ctx)
	return err
}

// followed returns the view that has a service.
func (r *Registry) followed(ctx context.Context, service string) (feed.Followed, error) {
	p, err := r.serving(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkServiceName(service); err != nil {
		return nil, err
	}
	ctx, cancel := r.bound(ctx)
	defer cancel()
	_, v, err := p.views.Lookup(ctx, service)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// serving returns the components that serve a call, unless there is a reason not to.
func (r *Registry) serving(ctx context.Context) (*components, error) {
	if r.closing.Err() != nil {
		return nil, ErrClosed
	}
	if ctx != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err := r.components.Load().err; err != nil {
		return nil, err
	}
	r.started.Do(r.start)
	return r.components.Load(), nil
}

func (r *Registry) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inUse = true
	r.group.Run(func() { r.probe.run(r.ctx) })
	r.reporter.start(r.ctx)
	r.saveViewsLocked(r.components.Load())
}

// bound returns a context that ends with ctx, in time, and when the registry is closed.
func (r *Registry) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx == nil {
		ctx = context.Background()
	}
	left := r.timeout() * 49 / 50 // so that a server that stops in an outage is gone within the timeout
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	ctx, timeout := context.WithTimeout(ctx, left)
	ctx, abort := context.WithCancelCause(ctx)
	stop := context.AfterFunc(r.closing, func() { abort(ErrClosed) })
	return ctx, func() { stop(); abort(nil); timeout() }
}

// reconnected sees to what etcd has missed, and to whether it is still the same one.
func (r *Registry) reconnected() {
	if p := r.components.Load(); p.err == nil {
		p.registrar.RetryNow()
	}
	r.probe.hurry.Send()
}

// Close deregisters what is ours and only that, revokes our leases, ends all watchers and waits for every goroutine.
// Calls under way return ErrClosed, as do all calls afterwards. It deregisters within the timeout. It waits for a
// metrics collection that is under way, within the timeout for registry.Logger to return, and another second at most
// for the disk of a [CacheDir]. Its error says what couldn't be deregistered and is left to its TTL. Further calls wait
// for the first one and return the same.
func (r *Registry) Close() error {
	r.closed.Do(func() { r.closeErr = r.shut() })
	return r.closeErr
}

// saveTime is how long Close waits for the disk: beside the timeout, which etcd may have used up.
const saveTime = time.Second

func (r *Registry) shut() error {
	r.refuse(ErrClosed)
	r.connector.ResetBreaker()
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout())
	defer cancel()
	var errs []error
	if p := r.components.Load(); p.err == nil {
		p.views.Close()
		errs = append(errs, p.registrar.Close(ctx))
	}
	r.end()
	if p := r.components.Load(); p.err == nil {
		saving, over := context.WithTimeout(context.Background(), saveTime)
		p.views.Saver.Wait(saving)
		over()
	}
	errs = append(errs, r.connector.Close())
	r.group.Close()
	r.metrics.Close()
	r.reporter.wait(ctx)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}
