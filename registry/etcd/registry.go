package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/util/cmd"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

func init() {
	cmd.DefaultRegistries["etcd"] = NewRegistry
}

// Registry is a [registry.Registry] on etcd. All its methods may be called concurrently, Init
// included. Make one with [New] or [NewRegistry].
//
// Every call returns within its context's deadline if it has one, and otherwise within
// registry.Timeout (default 5 s), whatever etcd does.
type Registry struct {
	env       environment
	connector *connector
	group     group

	closing context.Context // ends when Close begins
	refuse  context.CancelCauseFunc
	ctx     context.Context // ends when Close has deregistered what is ours
	end     context.CancelFunc

	started  sync.Once
	closed   sync.Once
	closeErr error

	parts atomic.Pointer[parts]

	mu    sync.Mutex       // for changes of what follows and of parts
	given registry.Options // what the options have come to so far
	inUse bool             // a call may have used parts
}

// parts are what the present configuration comes to. They are replaced as a whole.
type parts struct {
	err       error // the configuration's; the rest is nil then
	config    *config
	registrar *registrar
	mirrors   *mirrors
}

// New returns a registry, or the error in its configuration. It doesn't connect: the first
// call that needs etcd does. Errors: ErrAddress, ErrTLS, ErrOption.
func New(opts ...registry.Option) (*Registry, error) {
	r := newRegistry(opts)
	if err := r.parts.Load().err; err != nil {
		return nil, err
	}
	return r, nil
}

// NewRegistry is New for go-micro's options and command line, which can't take an error: a
// configuration error is returned by every call until an Init mends it.
func NewRegistry(opts ...registry.Option) registry.Registry {
	return newRegistry(opts)
}

func newRegistry(opts []registry.Option) *Registry {
	r := &Registry{env: readEnvironment()}
	r.closing, r.refuse = context.WithCancelCause(context.Background())
	r.ctx, r.end = context.WithCancel(context.Background())
	r.connector = &connector{ctx: r.ctx, group: &r.group}
	r.mu.Lock()
	defer r.mu.Unlock()
	given := apply(*registry.NewOptions(), opts)
	if err := r.configure(given); err != nil {
		r.given = given
		r.parts.Store(&parts{err: err})
	}
	return r
}

// Init changes options on the living registry: registrations, views and watchers carry over
// to the new settings, and a client is replaced only if its settings changed. An Init that
// returns an error changes nothing. Errors: ErrAddress, ErrTLS, ErrOption, ErrClosed.
func (r *Registry) Init(opts ...registry.Option) error {
	if r.closing.Err() != nil {
		return fmt.Errorf("init: %w", ErrClosed)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.configure(apply(r.given, opts))
}

// configure takes over options if they are good. It needs mu.
func (r *Registry) configure(given registry.Options) error {
	c, err := newConfig(given, r.env)
	if err != nil {
		return err
	}
	before := r.parts.Load()
	now := &parts{config: c}
	switch {
	case before == nil || before.err != nil:
		r.assemble(now)
	case c.keys == before.config.keys:
		now.registrar, now.mirrors = before.registrar, before.mirrors
	case r.inUse:
		return fmt.Errorf("%w: prefix %q can't become %q, the registry is in use", ErrOption, before.config.keys.prefix, c.keys.prefix)
	default:
		r.assemble(now)
	}
	r.given = given
	r.parts.Store(now)
	if before == nil || before.err != nil || !c.settings.equal(before.config.settings) {
		r.connect(c.settings)
	}
	return nil
}

// assemble makes the parts that depend on the prefix.
func (r *Registry) assemble(p *parts) {
	p.mirrors = &mirrors{
		closing:   r.closing,
		ctx:       r.ctx,
		connector: r.connector,
		keys:      p.config.keys,
		timeout:   r.timeout,
		log:       r.log,
		malformed: &malformed{log: r.log},
		byPrefix:  make(map[string]*mirror),
	}
	p.registrar = &registrar{
		connector:     r.connector,
		keys:          p.config.keys,
		timeout:       r.timeout,
		log:           r.log,
		wrote:         p.mirrors.wrote,
		registrations: make(map[string]*registration),
		tried:         make(map[string]bool),
	}
}

// Options returns the options as they are in force.
func (r *Registry) Options() registry.Options {
	if c := r.parts.Load().config; c != nil {
		return c.options
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.given
}

// String returns "etcd".
func (r *Registry) String() string { return "etcd" }

func (r *Registry) timeout() time.Duration { return r.Options().Timeout }

func (r *Registry) log() log { return log{r.Options().Logger} }

// serving returns the parts that serve a call, unless there is a reason not to.
func (r *Registry) serving(ctx context.Context) (*parts, error) {
	if r.closing.Err() != nil {
		return nil, ErrClosed
	}
	if ctx != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err := r.parts.Load().err; err != nil {
		return nil, err
	}
	r.started.Do(r.start)
	return r.parts.Load(), nil
}

func (r *Registry) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inUse = true
	p := &probe{registry: r}
	r.group.run(func() { p.run(r.ctx) })
}

// bound returns a context that ends with ctx, in time, and when the registry is closed.
func (r *Registry) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx == nil {
		ctx = context.Background()
	}
	timeout := func() {}
	if _, ok := ctx.Deadline(); !ok {
		ctx, timeout = context.WithTimeout(ctx, r.timeout())
	}
	ctx, abort := context.WithCancelCause(ctx)
	stop := context.AfterFunc(r.closing, func() { abort(ErrClosed) })
	return ctx, func() { stop(); abort(nil); timeout() }
}

// Register puts every node of the service into etcd and keeps it there until Deregister or
// Close: it comes back by itself when its lease or key is lost. The TTL is rounded up to
// whole seconds; without one the record has no lease and outlives a killed process. A record
// that is there already, unchanged in every field, costs no request.
//
// An error that wraps ErrPending leaves the registration in force: the registry goes on
// trying, unless Register isn't repeated within twice the TTL or two minutes, whichever is
// longer. Repeating it while etcd is away returns the error at once.
//
// Errors: ErrNilService, ErrServiceName, ErrNoNodes, ErrNodeID, ErrTTL, ErrTooLarge, ErrPending,
// ErrClosed, and those of New.
func (r *Registry) Register(s *registry.Service, opts ...registry.RegisterOption) error {
	var o registry.RegisterOptions
	for _, opt := range opts {
		opt(&o)
	}
	if err := checkService(s); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	if o.TTL < 0 {
		return fmt.Errorf("register %q: %w: %s", s.Name, ErrTTL, o.TTL)
	}
	p, err := r.serving(o.Context)
	if err != nil {
		return fmt.Errorf("register %q: %w", s.Name, err)
	}
	return p.registrar.register(func() (context.Context, context.CancelFunc) { return r.bound(o.Context) }, s, o.TTL)
}

// Deregister removes the service's nodes; only their ids count. What this registry
// registered is removed if it is still ours: a record that another process has put under the
// same id stays. What it never registered is removed whosever it is. All nodes are tried,
// and the error joins what went wrong; what couldn't be removed is no longer renewed.
//
// Errors: ErrNilService, ErrServiceName, ErrNoNodes, ErrNodeID, ErrClosed, and those of New.
func (r *Registry) Deregister(s *registry.Service, opts ...registry.DeregisterOption) error {
	var o registry.DeregisterOptions
	for _, opt := range opts {
		opt(&o)
	}
	if err := checkService(s); err != nil {
		return fmt.Errorf("deregister: %w", err)
	}
	p, err := r.serving(o.Context)
	if err != nil {
		return fmt.Errorf("deregister %q: %w", s.Name, err)
	}
	ctx, cancel := r.bound(o.Context)
	defer cancel()
	return p.registrar.deregister(ctx, s)
}

// GetService returns one service per version, sorted by version, with nodes sorted by id. The
// result belongs to the caller. The first look-up of a name asks etcd; from then on it is
// followed, and answered from the local view even while etcd is away, until nobody has looked
// for ten minutes. This process's own writes are visible at once.
//
// Errors: registry.ErrNotFound when there is no node, ErrServiceName, ErrClosed, and those of New.
func (r *Registry) GetService(name string, opts ...registry.GetOption) ([]*registry.Service, error) {
	var o registry.GetOptions
	for _, opt := range opts {
		opt(&o)
	}
	snapshot, err := r.look(o.Context, name)
	if err != nil {
		return nil, fmt.Errorf("get service %q: %w", name, err)
	}
	services := snapshot.Services()
	if services == nil {
		return nil, registry.ErrNotFound
	}
	return services, nil
}

func (r *Registry) look(ctx context.Context, name string) (*catalogue.Snapshot, error) {
	p, err := r.serving(ctx)
	if err != nil {
		return nil, err
	}
	linearizable := isLinearizable(ctx)
	if !linearizable {
		if snapshot, ok := p.mirrors.known(name); ok {
			return snapshot, nil
		}
	}
	if err := checkServiceName(name); err != nil {
		return nil, err
	}
	ctx, cancel := r.bound(ctx)
	defer cancel()
	if linearizable {
		return r.ask(ctx, p, name)
	}
	return p.mirrors.lookup(ctx, name)
}

// ask reads a service from etcd's leader, and follows it from there.
func (r *Registry) ask(ctx context.Context, p *parts, name string) (*catalogue.Snapshot, error) {
	shown, err := r.read(ctx, p, p.config.keys.dir(name))
	if err != nil {
		return nil, err
	}
	p.mirrors.adopt(name, shown)
	return shown.Snapshot(name), nil
}

// read returns what etcd has below a prefix.
func (r *Registry) read(ctx context.Context, p *parts, prefix string) (*catalogue.Catalogue, error) {
	all, err := list(ctx, r.connector, prefix, p.config.options.Timeout)
	if err != nil {
		return nil, err
	}
	shown := catalogue.New()
	d := newDecoder(p.config.keys)
	for _, kv := range all.kvs {
		record, err := d.decode(string(kv.Key), kv.ModRevision, kv.Value)
		if err != nil {
			p.mirrors.malformed.note(string(kv.Key), err)
			continue
		}
		shown.Put(record)
	}
	return shown, nil
}

// ListServices returns every version of every service with its nodes, sorted by name and
// version. The result belongs to the caller. It asks etcd, unless this registry has a watcher of
// all services open. An empty registry is no error.
func (r *Registry) ListServices(opts ...registry.ListOption) ([]*registry.Service, error) {
	var o registry.ListOptions
	for _, opt := range opts {
		opt(&o)
	}
	p, err := r.serving(o.Context)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	snapshots, ok := p.mirrors.listed()
	if !ok {
		ctx, cancel := r.bound(o.Context)
		defer cancel()
		shown, err := r.read(ctx, p, p.config.keys.prefix)
		if err != nil {
			return nil, fmt.Errorf("list services: %w", err)
		}
		snapshots = shown.Snapshots()
	}
	services := make([]*registry.Service, 0, len(snapshots))
	for _, s := range snapshots {
		services = append(services, s.Services()...)
	}
	return services, nil
}

// Watch returns a watcher of one service (registry.WatchService) or of all. It delivers
// every change from now on, and before that those which happened since this registry's look-ups of
// the last minute, so that a look-up followed by a watch misses nothing. It repairs itself
// after whatever happens to the connection or to etcd. If etcd is away, Watch still returns
// a working watcher; it then begins with everything that etcd has when it is back.
//
// registry.WatchContext bounds the watcher's life.
//
// Errors: ErrServiceName, ErrClosed, and those of New.
func (r *Registry) Watch(opts ...registry.WatchOption) (registry.Watcher, error) {
	var o registry.WatchOptions
	for _, opt := range opts {
		opt(&o)
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
	ctx, cancel := r.bound(life)
	defer cancel()
	w := newWatcher(life, o.Service)
	p.mirrors.watch(ctx, w)
	return w, nil
}

// rewritten checks everything against an etcd whose history is another one than it was.
func (r *Registry) rewritten() {
	p := r.parts.Load()
	for _, m := range p.mirrors.all() {
		m.doubt()
	}
	p.registrar.rewritten()
}

// Close deregisters what is ours and only that, revokes our leases, ends all watchers and
// waits for every goroutine. Calls under way return ErrClosed, as do all calls afterwards.
// It returns within the timeout; its error says what couldn't be deregistered and is left to
// its TTL. Further calls wait for the first one and return the same.
func (r *Registry) Close() error {
	r.closed.Do(func() { r.closeErr = r.shut() })
	return r.closeErr
}

func (r *Registry) shut() error {
	r.refuse(ErrClosed)
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout())
	defer cancel()
	var errs []error
	if p := r.parts.Load(); p.err == nil {
		p.mirrors.close()
		errs = append(errs, p.registrar.close(ctx))
	}
	r.end()
	if l := r.connector.replace(settings{}); l != nil {
		errs = append(errs, l.close())
	}
	r.group.close()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}
