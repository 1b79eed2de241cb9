package cases

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func initMutants() map[string]mutant {
	var calls atomic.Int64
	return map[string]mutant{
		"init/string": func(p *refProcess) *tampered {
			return &tampered{refProcess: p, str: func() string { return fmt.Sprint("ref", calls.Add(1)) }}
		},
		"init/options":  inits(func(*refProcess, ...registry.Option) error { return nil }),
		"init/in-place": forgetsAtInit,
		"init/no-leak": inits(func(p *refProcess, opts ...registry.Option) error {
			go func() { <-p.store.done }()
			return p.Init(opts...)
		}),
	}
}

// forgetsAtInit loses what the process has registered.
var forgetsAtInit = inits(func(p *refProcess, opts ...registry.Option) error {
	p.store.mu.Lock()
	for k, r := range p.store.records {
		if r.owner == p {
			p.store.remove(k)
		}
	}
	clear(p.desired)
	p.store.mu.Unlock()
	return p.Init(opts...)
})

func ttlOf(opts []registry.RegisterOption) time.Duration {
	var o registry.RegisterOptions
	for _, opt := range opts {
		opt(&o)
	}
	return o.TTL
}

// firstWins takes a node's first record for its last.
func firstWins(p *refProcess) *tampered {
	return registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
		p.store.mu.Lock()
		known := p.desired[refKey{s.Name, s.Nodes[0].Id}]
		p.store.mu.Unlock()
		if known != nil {
			return nil
		}
		return p.Register(s, opts...)
	})(p)
}

// ownOnly finds only what this process has registered.
func ownOnly(p *refProcess) *tampered {
	return gets(func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error) {
		found, err := p.GetService(name, opts...)
		for _, s := range found {
			s.Nodes = record.Without(s.Nodes, foreign(p, s))
		}
		return found, err
	})(p)
}

func foreign(p *refProcess, s *registry.Service) []*registry.Node {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	var nodes []*registry.Node
	for _, n := range s.Nodes {
		if !p.ever[refKey{s.Name, n.Id}] {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func registerMutants() map[string]mutant {
	m := map[string]mutant{
		"register/all-fields": registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			return p.Register(record.With(s, func(c *registry.Service) {
				c.Endpoints[0].Request.Values[1].Values = nil
			}), opts...)
		}),
		"register/at-once": func(p *refProcess) *tampered {
			var mu sync.Mutex
			last := map[string][]*registry.Service{}
			return gets(func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error) {
				mu.Lock()
				defer mu.Unlock()
				late := last[name]
				last[name], _ = p.GetService(name, opts...)
				return late, nil
			})(p)
		},
		"register/repeated": registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			return p.Register(record.With(s, func(c *registry.Service) { c.Metadata["seen"] = time.Now().String() }), opts...)
		}),
		"register/several-nodes": registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			return p.Register(record.Only(s, s.Nodes[0].Id), opts...)
		}),
		"register/versions": gets(func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error) {
			found, err := p.GetService(name, opts...)
			for i := 1; i < len(found); i++ {
				found[0].Nodes = append(found[0].Nodes, found[i].Nodes...)
			}
			return found[:min(1, len(found))], err
		}),
		"register/other-process": ownOnly,
		"register/nodes-of-many": ownOnly,
		"register/argument": registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			s.Metadata["touched"] = "yes"
			return p.Register(s, opts...)
		}),
		"register/ttl-zero": registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			if ttlOf(opts) == 0 {
				panic("no lease")
			}
			return p.Register(s, opts...)
		}),
		"register/ttl-fraction": registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			time.AfterFunc(ttlOf(opts)/2, func() { _ = p.Deregister(s) })
			return p.Register(s, opts...)
		}),
	}
	for _, c := range changeCases() {
		m[c.Name] = firstWins
	}
	return m
}

func nameMutants() map[string]mutant {
	flat := strings.NewReplacer("/", "-")
	mixesNames := gets(func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error) {
		found, err := p.GetService(name, opts...)
		if more, _ := p.GetService(flat.Replace(name)); err == nil && flat.Replace(name) != name {
			found = append(found, more...)
		}
		return found, err
	})
	return map[string]mutant{
		"name/slash": registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			return p.Register(record.With(s, func(c *registry.Service) { c.Name = flat.Replace(c.Name) }), opts...)
		}),
		"name/alike":    mixesNames,
		"name/same-ids": mixesNames,
		"name/list-alike": lists(func(_ *refProcess, all []*registry.Service) []*registry.Service {
			merged := map[string]*registry.Service{}
			for _, s := range all {
				if m := merged[s.Name+s.Version]; m != nil {
					m.Nodes = append(m.Nodes, s.Nodes...)
					continue
				}
				merged[s.Name+s.Version] = s
			}
			var out []*registry.Service
			for _, s := range merged {
				out = append(out, s)
			}
			return out
		}),
		"name/node-id-slash": registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			return p.Register(record.With(s, func(c *registry.Service) {
				for _, n := range c.Nodes {
					n.Id = flat.Replace(n.Id)
				}
			}), opts...)
		}),
		"name/odd-node-ids": registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			if s.Nodes[0].Id == ".." {
				return nil
			}
			return p.Register(s, opts...)
		}),
	}
}

func refuseMutants() map[string]mutant {
	anything := registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
		_ = p.Register(s, opts...)
		return nil
	})
	return map[string]mutant{
		"refuse/nil-service": registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			return p.Register(record.With(s, func(*registry.Service) {}), opts...)
		}),
		"refuse/no-nodes":   anything,
		"refuse/nil-node":   anything,
		"refuse/no-name":    anything,
		"refuse/no-node-id": anything,
		"refuse/whole-or-nothing": registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			_ = p.Register(record.With(s, func(c *registry.Service) { c.Nodes = c.Nodes[:1] }), opts...)
			return p.Register(s, opts...)
		}),
		"refuse/deregister": deregisters(func(p *refProcess, s *registry.Service, opts ...registry.DeregisterOption) error {
			return p.Deregister(record.With(s, func(*registry.Service) {}), opts...)
		}),
	}
}

func deregisterMutants() map[string]mutant {
	return map[string]mutant{
		"deregister/bare-node": deregisters(func(
			p *refProcess, s *registry.Service, opts ...registry.DeregisterOption,
		) error {
			if s.Nodes[0].Metadata == nil {
				return nil
			}
			return p.Deregister(s, opts...)
		}),
		"deregister/last": gets(func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error) {
			found, _ := p.GetService(name, opts...)
			return found, nil
		}),
		"deregister/one-of-several": deregistersAlso(func(s, _ *registry.Service) bool { return s != nil }),
		"deregister/several": deregisters(func(p *refProcess, s *registry.Service, opts ...registry.DeregisterOption) error {
			return p.Deregister(record.Only(s, s.Nodes[0].Id), opts...)
		}),
		"deregister/one-version": deregistersAlso(
			func(s, other *registry.Service) bool { return s.Version != other.Version },
		),
		"deregister/unknown": deregisters(func(p *refProcess, s *registry.Service, opts ...registry.DeregisterOption) error {
			if _, err := p.GetService(s.Name); err != nil {
				return err
			}
			return p.Deregister(s, opts...)
		}),
		"deregister/then-register": func(p *refProcess) *tampered {
			var busy atomic.Bool
			return &tampered{
				refProcess: p,
				deregister: func(s *registry.Service, opts ...registry.DeregisterOption) error {
					busy.Store(true)
					return p.Deregister(s, opts...)
				},
				register: func(s *registry.Service, opts ...registry.RegisterOption) error {
					if busy.Swap(false) {
						return nil
					}
					return p.Register(s, opts...)
				},
			}
		},
		"deregister/by-another": deregisters(func(
			p *refProcess, s *registry.Service, opts ...registry.DeregisterOption,
		) error {
			if len(foreign(p, s)) > 0 {
				return errors.New("not mine")
			}
			return p.Deregister(s, opts...)
		}),
	}
}

// deregistersAlso takes along what else there is of the service.
func deregistersAlso(also func(s, other *registry.Service) bool) mutant {
	return deregisters(func(p *refProcess, s *registry.Service, opts ...registry.DeregisterOption) error {
		found, _ := p.GetService(s.Name)
		for _, other := range found {
			if also(s, other) {
				_ = p.Deregister(other, opts...)
			}
		}
		return p.Deregister(s, opts...)
	})
}
