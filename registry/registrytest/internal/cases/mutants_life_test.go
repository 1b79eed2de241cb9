package cases

import (
	"errors"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func ownerMutants() map[string]mutant {
	adopts := flawed(func(f *refFlaws) { f.adopts = true })
	return map[string]mutant{
		"owner/restart":         adopts,
		"owner/late-deregister": deregisters(removesAny),
		"owner/late-close": closes(func(p *refProcess) error {
			p.store.mu.Lock()
			for k := range p.ever {
				p.store.remove(k)
			}
			p.store.mu.Unlock()
			return p.Close()
		}),
		"owner/old-ttl": adopts,
		"owner/repeat":  flawed(func(f *refFlaws) { f.alwaysPuts = true }),
	}
}

// removesAny deregisters whatever is there.
func removesAny(p *refProcess, s *registry.Service, _ ...registry.DeregisterOption) error {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	for _, n := range s.Nodes {
		k := refKey{s.Name, n.Id}
		delete(p.desired, k)
		p.store.remove(k)
	}
	return nil
}

// dropsAfter removes a node some TTLs after its first Register, for good.
func dropsAfter(ttls float64) mutant {
	return registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
		p.store.mu.Lock()
		first := !p.ever[refKey{s.Name, s.Nodes[0].Id}]
		p.store.mu.Unlock()
		err := p.Register(s, opts...)
		if first {
			time.AfterFunc(time.Duration(ttls*float64(ttlOf(opts))), func() {
				p.store.mu.Lock()
				defer p.store.mu.Unlock()
				p.store.remove(refKey{s.Name, s.Nodes[0].Id})
			})
		}
		return err
	})
}

func expiryMutants() map[string]mutant {
	return map[string]mutant{
		"expiry/killed": registers(func(p *refProcess, s *registry.Service, _ ...registry.RegisterOption) error {
			return p.Register(s)
		}),
		"expiry/not-found": gets(func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error) {
			found, _ := p.GetService(name, opts...)
			if len(found) == 0 {
				found = []*registry.Service{{Name: name, Version: "1"}}
			}
			return found, nil
		}),
		"expiry/delete":        onEach(func(r *registry.Result) bool { return !isDelete(r) }),
		"expiry/heartbeat":     dropsAfter(1.5),
		"expiry/self-renewing": dropsAfter(1),
		"expiry/returns": registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			p.store.mu.Lock()
			before := p.seen[s.Name]
			there := p.store.records[refKey{s.Name, s.Nodes[0].Id}]
			p.store.mu.Unlock()
			if len(before) > 0 && there == nil {
				return nil // it has been here before
			}
			return p.Register(s, opts...)
		}),
	}
}

func healMutants() map[string]mutant {
	neverHeals := flawed(func(f *refFlaws) { f.neverHeals = true })
	unchanged := func(p *refProcess) *tampered {
		neverHeals(p)
		return firstWins(p)
	}
	junk := func(s *registry.Service) { s.Nodes = append(s.Nodes, nil) }
	return map[string]mutant{
		"heal/vanished-register": unchanged,
		"heal/vanished-alone":    neverHeals,
		"heal/revoked-register":  unchanged,
		"heal/revoked-alone":     neverHeals,
		"heal/deregistered": deregisters(func(p *refProcess, s *registry.Service, opts ...registry.DeregisterOption) error {
			time.AfterFunc(50*time.Millisecond, func() { _ = p.Register(s) })
			return p.Deregister(s, opts...)
		}),
		"corrupt/lookup": gets(func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error) {
			found, err := p.GetService(name, opts...)
			for _, s := range found {
				junk(s)
			}
			return found, err
		}),
		"corrupt/list": lists(func(_ *refProcess, all []*registry.Service) []*registry.Service { return append(all, nil) }),
		"corrupt/watch": results(func(*refProcess, *registry.Result) (*registry.Result, error) {
			return nil, errors.New("unexpected end of JSON input")
		}),
		"corrupt/register": registers(func(*refProcess, *registry.Service, ...registry.RegisterOption) error {
			return errors.New("unexpected end of JSON input")
		}),
	}
}

// hang blocks while the store is away.
func hang(p *refProcess) {
	for p.away() {
		p.store.mu.Lock()
		changed := p.store.changed
		p.store.mu.Unlock()
		select {
		case <-changed:
		case <-p.store.done:
			return
		}
	}
}

func drainMutants() map[string]mutant {
	drained := func(p *refProcess, s *registry.Service) []refKey {
		p.store.mu.Lock()
		defer p.store.mu.Unlock()
		var keys []refKey
		for _, n := range s.Nodes {
			if k := (refKey{s.Name, n.Id}); p.store.drained[k] {
				keys = append(keys, k)
			}
		}
		return keys
	}
	return map[string]mutant{
		"drain/out": flawed(func(f *refFlaws) { f.ignores = true }),
		"drain/register": registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			for _, k := range drained(p, s) {
				p.store.mu.Lock()
				delete(p.store.drained, k)
				p.store.mu.Unlock()
			}
			return p.Register(s, opts...)
		}),
		"drain/deregister": deregisters(func(p *refProcess, s *registry.Service, opts ...registry.DeregisterOption) error {
			if len(drained(p, s)) > 0 {
				return nil
			}
			return p.Deregister(s, opts...)
		}),
	}
}

func outageMutants() map[string]mutant {
	m := outageRecoveryMutants()
	m["outage/register"] = registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
		_ = p.Register(s, opts...)
		return nil
	})
	m["outage/register-many"] = registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
		for range s.Nodes {
			if p.away() {
				<-time.After(500 * time.Millisecond)
			}
		}
		return p.Register(s, opts...)
	})
	m["outage/heartbeat"] = registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
		hang(p)
		return p.Register(s, opts...)
	})
	m["outage/deregister"] = deregisters(func(
		p *refProcess, s *registry.Service, opts ...registry.DeregisterOption,
	) error {
		_ = p.Deregister(s, opts...)
		return nil
	})
	m["outage/lookup"] = gets(func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error) {
		found, err := p.GetService(name, opts...)
		if err != nil {
			err = registry.ErrNotFound
		}
		return found, err
	})
	m["outage/list"] = lists(func(p *refProcess, all []*registry.Service) []*registry.Service { hang(p); return all })
	m["outage/watch"] = watches(func(p *refProcess, _ string, opts ...registry.WatchOption) (registry.Watcher, error) {
		hang(p)
		return p.Watch(opts...)
	})
	m["outage/stop"] = stops(func(p *refProcess, w registry.Watcher) func() { return func() { hang(p); w.Stop() } })
	m["outage/init"] = inits(func(p *refProcess, opts ...registry.Option) error { hang(p); return p.Init(opts...) })
	return m
}

func outageRecoveryMutants() map[string]mutant {
	return map[string]mutant{
		"outage/last-view": gets(func(p *refProcess, name string, opts ...registry.GetOption) ([]*registry.Service, error) {
			if p.away() {
				return nil, errRefAway
			}
			return p.GetService(name, opts...)
		}),
		"outage/watch-resumes":  onEach(func(r *registry.Result) bool { return !isDelete(r) }),
		"outage/lookup-resumes": cachesForever,
		"outage/register-completes": registers(func(
			p *refProcess, s *registry.Service, opts ...registry.RegisterOption,
		) error {
			if p.away() {
				return errRefAway
			}
			return p.Register(s, opts...)
		}),
		"outage/deregister-completes": deregisters(func(
			p *refProcess, s *registry.Service, opts ...registry.DeregisterOption,
		) error {
			if p.away() {
				return errRefAway
			}
			return p.Deregister(s, opts...)
		}),
	}
}

func concurrencyMutants() map[string]mutant {
	var running atomic.Int64
	alone := func(then func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error) mutant {
		return registers(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			defer running.Add(-1)
			if running.Add(1) > 1 {
				return then(p, s, opts...)
			}
			<-time.After(5 * time.Millisecond) // so that calls meet
			return p.Register(s, opts...)
		})
	}
	return map[string]mutant{
		"concurrent/use": alone(func(*refProcess, *registry.Service, ...registry.RegisterOption) error {
			panic("concurrent map writes")
		}),
		"concurrent/same-node": alone(func(p *refProcess, s *registry.Service, opts ...registry.RegisterOption) error {
			return p.Register(record.With(s, func(c *registry.Service) { c.Nodes[0].Id += "'" }), opts...)
		}),
		"concurrent/init": forgetsAtInit,
	}
}

func closeMutants() map[string]mutant {
	never := closes(func(*refProcess) error { return nil })
	return map[string]mutant{
		"close/watchers": never,
		"close/calls":    never,
		"close/twice": func(p *refProcess) *tampered {
			var calls atomic.Int64
			return closes(func(p *refProcess) error {
				if calls.Add(1) > 1 {
					panic("close of closed channel")
				}
				return p.Close()
			})(p)
		},
		"close/withdraws": never,
		"close/no-leak": closes(func(p *refProcess) error {
			go func() { <-p.store.done }()
			return p.Close()
		}),
	}
}
