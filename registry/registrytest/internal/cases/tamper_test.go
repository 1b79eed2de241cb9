package cases

import (
	"io"
	"sync"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
)

// tampered is a reference process with some of its methods replaced.
type tampered struct {
	*refProcess
	register   func(*registry.Service, ...registry.RegisterOption) error
	deregister func(*registry.Service, ...registry.DeregisterOption) error
	get        func(string, ...registry.GetOption) ([]*registry.Service, error)
	list       func(...registry.ListOption) ([]*registry.Service, error)
	watch      func(...registry.WatchOption) (registry.Watcher, error)
	init       func(...registry.Option) error
	str        func() string
	closeIt    func() error
}

func (t *tampered) Register(s *registry.Service, opts ...registry.RegisterOption) error {
	if t.register != nil {
		return t.register(s, opts...)
	}
	return t.refProcess.Register(s, opts...)
}

func (t *tampered) Deregister(s *registry.Service, opts ...registry.DeregisterOption) error {
	if t.deregister != nil {
		return t.deregister(s, opts...)
	}
	return t.refProcess.Deregister(s, opts...)
}

func (t *tampered) GetService(name string, opts ...registry.GetOption) ([]*registry.Service, error) {
	if t.get != nil {
		return t.get(name, opts...)
	}
	return t.refProcess.GetService(name, opts...)
}

func (t *tampered) ListServices(opts ...registry.ListOption) ([]*registry.Service, error) {
	if t.list != nil {
		return t.list(opts...)
	}
	return t.refProcess.ListServices(opts...)
}

func (t *tampered) Watch(opts ...registry.WatchOption) (registry.Watcher, error) {
	if t.watch != nil {
		return t.watch(opts...)
	}
	return t.refProcess.Watch(opts...)
}

func (t *tampered) Init(opts ...registry.Option) error {
	if t.init != nil {
		return t.init(opts...)
	}
	return t.refProcess.Init(opts...)
}

func (t *tampered) String() string {
	if t.str != nil {
		return t.str()
	}
	return t.refProcess.String()
}

func (t *tampered) Close() error {
	if t.closeIt != nil {
		return t.closeIt()
	}
	return t.refProcess.Close()
}

// mutant makes a mistake out of a correct process.
type mutant func(*refProcess) *tampered

// refBackend is a store of its own for reference processes, each of which makes the mistake if there is one. It has the
// times that memory needs.
func refBackend(store *refStore, mistake mutant) harness.Backend {
	process := func(r registry.Registry) *refProcess { return r.(interface{ process() *refProcess }).process() }
	return harness.Backend{
		Open: func(opts ...registry.Option) (registry.Registry, error) {
			p := openRef(store, opts...)
			if mistake == nil {
				return p, nil
			}
			return mistake(p), nil
		},
		Close:       func(r registry.Registry) error { return r.(io.Closer).Close() },
		Kill:        func(r registry.Registry) error { process(r).kill(); return nil },
		Cut:         func(r registry.Registry) (func(), error) { return process(r).cut(), nil },
		Vanish:      store.lose,
		Revoke:      store.lose,
		Corrupt:     store.corrupt,
		Drain:       store.drain,
		TTL:         200 * time.Millisecond,
		Patience:    300 * time.Millisecond,
		CallTimeout: 100 * time.Millisecond,
		CaseTimeout: 20 * time.Second,
		Seed:        1,
	}
}

// tamperedWatcher passes each result through a function; nil drops it.
type tamperedWatcher struct {
	registry.Watcher
	next func(*registry.Result) (*registry.Result, error)
	stop func()
}

func (w *tamperedWatcher) Next() (*registry.Result, error) {
	for {
		r, err := w.Watcher.Next()
		if err != nil || w.next == nil {
			return r, err
		}
		if r, err = w.next(r); r != nil || err != nil {
			return r, err
		}
	}
}

func (w *tamperedWatcher) Stop() {
	if w.stop != nil {
		w.stop()
		return
	}
	w.Watcher.Stop()
}

// results makes a mutant whose watchers pass results through f.
func results(f func(p *refProcess, r *registry.Result) (*registry.Result, error)) mutant {
	return func(p *refProcess) *tampered {
		return &tampered{refProcess: p, watch: func(opts ...registry.WatchOption) (registry.Watcher, error) {
			w, err := p.Watch(opts...)
			return &tamperedWatcher{Watcher: w, next: func(r *registry.Result) (*registry.Result, error) { return f(p, r) }}, err
		}}
	}
}

// onEach makes a mutant whose watchers change or drop (false) results.
func onEach(f func(r *registry.Result) bool) mutant {
	return results(func(_ *refProcess, r *registry.Result) (*registry.Result, error) {
		if !f(r) {
			return nil, nil
		}
		return r, nil
	})
}

// stops makes a mutant whose watchers stop with f.
func stops(f func(p *refProcess, w registry.Watcher) func()) mutant {
	return func(p *refProcess) *tampered {
		return &tampered{refProcess: p, watch: func(opts ...registry.WatchOption) (registry.Watcher, error) {
			w, err := p.Watch(opts...)
			return &tamperedWatcher{Watcher: w, stop: f(p, w)}, err
		}}
	}
}

// registers makes a mutant with a Register of its own.
func registers(f func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error) mutant {
	return func(p *refProcess) *tampered {
		return &tampered{refProcess: p, register: func(s *registry.Service, opts ...registry.RegisterOption) error {
			return f(p, s, opts...)
		}}
	}
}

// deregisters makes a mutant with a Deregister of its own.
func deregisters(f func(p *refProcess, s *registry.Service, opts ...registry.DeregisterOption) error) mutant {
	return func(p *refProcess) *tampered {
		return &tampered{refProcess: p, deregister: func(s *registry.Service, opts ...registry.DeregisterOption) error {
			return f(p, s, opts...)
		}}
	}
}

// gets makes a mutant with a GetService of its own.
func gets(f func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error)) mutant {
	return func(p *refProcess) *tampered {
		return &tampered{refProcess: p, get: func(name string, opts ...registry.GetOption) ([]*registry.Service, error) {
			return f(p, name, opts...)
		}}
	}
}

// lists makes a mutant that changes what ListServices returns.
func lists(f func(p *refProcess, all []*registry.Service) []*registry.Service) mutant {
	return func(p *refProcess) *tampered {
		return &tampered{refProcess: p, list: func(opts ...registry.ListOption) ([]*registry.Service, error) {
			all, err := p.ListServices(opts...)
			return f(p, all), err
		}}
	}
}

// inits makes a mutant with an Init of its own.
func inits(f func(p *refProcess, opts ...registry.Option) error) mutant {
	return func(p *refProcess) *tampered {
		return &tampered{refProcess: p, init: func(opts ...registry.Option) error { return f(p, opts...) }}
	}
}

// closes makes a mutant with a Close of its own.
func closes(f func(p *refProcess) error) mutant {
	return func(p *refProcess) *tampered {
		return &tampered{refProcess: p, closeIt: func() error { return f(p) }}
	}
}

// flawed makes a mutant of one of the store's own mistakes.
func flawed(f func(*refFlaws)) mutant {
	return func(p *refProcess) *tampered {
		p.store.mu.Lock()
		defer p.store.mu.Unlock()
		f(&p.store.flaws)
		return &tampered{refProcess: p}
	}
}

// remembered makes f run once per name, and answer the same ever after.
func remembered(f func(name string) []*registry.Service) func(name string) []*registry.Service {
	var mu sync.Mutex
	known := map[string][]*registry.Service{}
	return func(name string) []*registry.Service {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := known[name]; !ok {
			known[name] = f(name)
		}
		return known[name]
	}
}
