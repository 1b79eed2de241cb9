package cases

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func isDelete(r *registry.Result) bool { return r.Action == "delete" }

// keepsGhosts does not tell that a node left a version for another.
var keepsGhosts = results(func(p *refProcess, r *registry.Result) (*registry.Result, error) {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	if isDelete(r) && p.store.records[refKey{r.Service.Name, r.Service.Nodes[0].Id}] != nil {
		return nil, nil
	}
	return r, nil
})

// watchesFromNow starts a watcher at Watch, not at the lookup before it.
func watchesFromNow(p *refProcess) *tampered {
	return gets(func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error) {
		found, err := p.GetService(name, opts...)
		p.store.mu.Lock()
		defer p.store.mu.Unlock()
		delete(p.seen, name)
		return found, err
	})(p)
}

// watches makes a mutant with a Watch of its own.
func watches(f func(p *refProcess, service string, opts ...registry.WatchOption) (registry.Watcher, error)) mutant {
	return func(p *refProcess) *tampered {
		return &tampered{refProcess: p, watch: func(opts ...registry.WatchOption) (registry.Watcher, error) {
			var o registry.WatchOptions
			for _, opt := range opts {
				opt(&o)
			}
			return f(p, o.Service, opts...)
		}}
	}
}

func watchMutants() map[string]mutant {
	return map[string]mutant{
		"watch/create": onEach(isDelete),
		"watch/delete": onEach(func(r *registry.Result) bool {
			if isDelete(r) {
				r.Service.Version = ""
			}
			return true
		}),
		"watch/actions": onEach(func(r *registry.Result) bool {
			if r.Action == "create" {
				r.Action = "update"
			}
			return true
		}),
		"watch/changes": firstWins,
		"watch/whole-deletes": onEach(func(r *registry.Result) bool {
			if isDelete(r) {
				r.Service = record.Bare(r.Service)
			}
			return true
		}),
		"watch/version-move": keepsGhosts,
		"watch/other-process": results(func(p *refProcess, r *registry.Result) (*registry.Result, error) {
			if len(foreign(p, r.Service)) > 0 {
				return nil, nil
			}
			return r, nil
		}),
		"watch/two-watchers": stopsAll,
		"watch/shape": onEach(func(r *registry.Result) bool {
			r.Service.Nodes = append(r.Service.Nodes, nil)
			return true
		}),
		"watch/one-service": watches(func(p *refProcess, _ string, _ ...registry.WatchOption) (registry.Watcher, error) {
			return p.Watch()
		}),
		"watch/all-services": onEach(func(r *registry.Result) bool {
			r.Service.Name = strings.ReplaceAll(r.Service.Name, "/", "-")
			return true
		}),
		"watch/before-first": watches(func(
			p *refProcess, service string, opts ...registry.WatchOption,
		) (registry.Watcher, error) {
			if _, err := p.GetService(service); err != nil {
				return nil, err
			}
			return p.Watch(opts...)
		}),
		"watch/since-lookup": watchesFromNow,
		"watch/since-first-lookup": gets(func(
			p *refProcess, name string, opts ...registry.GetOption,
		) ([]*registry.Service, error) {
			p.store.mu.Lock()
			delete(p.seen, name)
			p.store.mu.Unlock()
			return p.GetService(name, opts...)
		}),
		"watch/since-lookup-elsewhere": watchesFromNow,
	}
}

// stopsAll stops every watcher with the first one.
func stopsAll(p *refProcess) *tampered {
	var mu sync.Mutex
	var all []registry.Watcher
	return stops(func(_ *refProcess, w registry.Watcher) func() {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, w)
		return func() {
			mu.Lock()
			defer mu.Unlock()
			for _, each := range all {
				each.Stop()
			}
		}
	})(p)
}

func stopMutants() map[string]mutant {
	onlyOnce := stops(func(_ *refProcess, w registry.Watcher) func() {
		var calls atomic.Int64
		return func() {
			w.Stop()
			if calls.Add(1) > 1 {
				panic("close of closed channel")
			}
		}
	})
	return map[string]mutant{
		"watch/stop-unblocks": stops(func(*refProcess, registry.Watcher) func() { return func() {} }),
		"watch/stop-twice":    onlyOnce,
		"watch/stopped-error": watches(func(p *refProcess, _ string, opts ...registry.WatchOption) (registry.Watcher, error) {
			w, err := p.Watch(opts...)
			return ownError{w}, err
		}),
		"watch/stop-concurrently": onlyOnce,
		"watch/stop-amid-events": watches(func(
			p *refProcess, _ string, opts ...registry.WatchOption,
		) (registry.Watcher, error) {
			w, err := p.Watch(opts...)
			read := make(chan struct{})
			var once sync.Once
			var stopping atomic.Bool
			return &tamperedWatcher{
				Watcher: w,
				next: func(r *registry.Result) (*registry.Result, error) {
					once.Do(func() { close(read) })
					return r, nil
				},
				stop: func() {
					if !stopping.Swap(true) {
						select {
						case <-read:
						case <-p.store.done:
						}
					}
					w.Stop()
				},
			}, err
		}),
		"watch/context": watches(func(p *refProcess, service string, _ ...registry.WatchOption) (registry.Watcher, error) {
			return p.Watch(registry.WatchService(service))
		}),
		"watch/no-leak": watches(func(p *refProcess, _ string, opts ...registry.WatchOption) (registry.Watcher, error) {
			go func() { <-p.store.done }()
			return p.Watch(opts...)
		}),
	}
}

// ownError says in its own words that it was stopped.
type ownError struct{ registry.Watcher }

func (w ownError) Next() (*registry.Result, error) {
	r, err := w.Watcher.Next()
	if err != nil {
		err = errors.New("could not get next")
	}
	return r, err
}

// losesSome drops every seventh result.
func losesSome(p *refProcess) *tampered {
	var n atomic.Int64
	return onEach(func(*registry.Result) bool { return n.Add(1)%7 != 0 })(p)
}

func losslessMutants() map[string]mutant {
	return map[string]mutant{
		"lossless/burst":          losesSome,
		"lossless/one-register":   losesSome,
		"lossless/slow-consumer":  losesSome,
		"lossless/flapping":       onEach(func(r *registry.Result) bool { return !isDelete(r) }),
		"lossless/version-fields": onEach(func(r *registry.Result) bool { return r.Action != "update" }),
		"lossless/model":          losesSome,
		"cache/converges":         watchesFromNow,
		"cache/last-node":         watchesFromNow,
		"cache/version-move":      keepsGhosts,
	}
}
