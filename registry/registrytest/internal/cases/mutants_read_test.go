package cases

import (
	"fmt"
	"math/rand"
	"sync"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

// cachesForever finds what it once found.
func cachesForever(p *refProcess) *tampered {
	return gets(func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error) {
		p.store.mu.Lock()
		first := copyOf(p.seen[name])
		p.store.mu.Unlock()
		if len(first) > 0 {
			return first, nil
		}
		return p.GetService(name, opts...)
	})(p)
}

func lookupMutants() map[string]mutant {
	return map[string]mutant{
		"lookup/unknown": gets(func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error) {
			found, err := p.GetService(name, opts...)
			if err != nil {
				err = fmt.Errorf("looking up: %w", err)
			}
			return found, err
		}),
		"lookup/no-name": gets(func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error) {
			if name == "" {
				return p.ListServices()
			}
			return p.GetService(name, opts...)
		}),
		"lookup/list": lists(func(_ *refProcess, all []*registry.Service) []*registry.Service {
			for _, s := range all {
				*s = registry.Service{Name: s.Name}
			}
			return all
		}),
		"lookup/follows": cachesForever,
		"lookup/not-found-passes": gets(func(
			p *refProcess, name string, opts ...registry.GetOption,
		) ([]*registry.Service, error) {
			p.store.mu.Lock()
			first, looked := p.seen[name]
			p.store.mu.Unlock()
			if looked && len(first) == 0 {
				return nil, registry.ErrNotFound
			}
			return p.GetService(name, opts...)
		}),
		"lookup/ordered": gets(func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error) {
			found, err := p.GetService(name, opts...)
			rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
			return found, err
		}),
	}
}

func copyMutants() map[string]mutant {
	return map[string]mutant{
		"copies/argument": func(p *refProcess) *tampered {
			var kept *registry.Service
			return &tampered{
				refProcess: p,
				register: func(s *registry.Service, opts ...registry.RegisterOption) error {
					kept = s
					return p.Register(s, opts...)
				},
				get: func(string, ...registry.GetOption) ([]*registry.Service, error) {
					return []*registry.Service{record.Clone(kept)}, nil
				},
			}
		},
		"copies/lookup": func(p *refProcess) *tampered {
			once := remembered(func(name string) []*registry.Service {
				found, _ := p.GetService(name)
				return found
			})
			return &tampered{refProcess: p, get: func(name string, _ ...registry.GetOption) ([]*registry.Service, error) {
				return once(name), nil
			}}
		},
		"copies/list": func(p *refProcess) *tampered {
			once := remembered(func(string) []*registry.Service {
				found, _ := p.ListServices()
				return found
			})
			return &tampered{refProcess: p, list: func(...registry.ListOption) ([]*registry.Service, error) {
				return once(""), nil
			}}
		},
		"copies/results": func(p *refProcess) *tampered {
			var mu sync.Mutex
			shared := map[string]*registry.Result{}
			return results(func(_ *refProcess, r *registry.Result) (*registry.Result, error) {
				mu.Lock()
				defer mu.Unlock()
				key := r.Action + record.Text(r.Service)
				if shared[key] == nil {
					shared[key] = r
				}
				return shared[key], nil
			})(p)
		},
	}
}

func contextMutants() map[string]mutant {
	return map[string]mutant{
		"context/register": registers(func(p *refProcess, s *registry.Service, _ ...registry.RegisterOption) error {
			return p.Register(s)
		}),
		"context/deregister": deregisters(func(p *refProcess, s *registry.Service, _ ...registry.DeregisterOption) error {
			return p.Deregister(s)
		}),
		"context/lookup": gets(func(p *refProcess, name string, _ ...registry.GetOption) ([]*registry.Service, error) {
			return p.GetService(name)
		}),
		"context/list": func(p *refProcess) *tampered {
			return &tampered{
				refProcess: p, list: func(...registry.ListOption) ([]*registry.Service, error) { return p.ListServices() },
			}
		},
	}
}
