package registrytest

import (
	"errors"
	"fmt"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/registry/cache"
)

func cacheCases() []Case {
	return []Case{{
		Name:  "cache/converges",
		Rule:  "several of Go Micro's caches over one registry come to agree with it, whatever happens between lookup and watch",
		Needs: needs(Lossless, SinceLookup, WholeRecord),
		body:  cachesConverge,
	}, {
		Name:  "cache/last-node",
		Rule:  "a cache learns that the last node is gone, though it was deregistered right after the first lookup",
		Needs: needs(Lossless, SinceLookup),
		body:  cacheLosesLastNode,
	}, {
		Name:  "cache/version-move",
		Rule:  "a node that moves to another version leaves no ghost in a cache",
		Needs: needs(Lossless, SinceLookup, WholeRecord),
		body:  cacheHasNoGhost,
	}}
}

// cached puts Go Micro's cache over p, as its selector does.
func (p *process) cached() *process {
	c := cache.New(p.Registry)
	p.env.onEnd(c.Stop)
	return &process{Registry: c, env: p.env}
}

func cachesConverge(e *env) {
	p := e.open()
	caches := []*process{p.cached(), p.cached(), p.cached()}
	for round := range 5 {
		s := sample(e.name(fmt.Sprintf("greeter%d", round)), "1", "n1", "n2", "n3")
		p.register(s)
		for i, c := range caches {
			c.finds(s.Name, s)
			id := fmt.Sprintf("n%d", i+1)
			switch i {
			case 0:
				p.deregister(only(s, id))
			case 1:
				p.register(with(only(s, id), func(m *registry.Service) { m.Nodes[0].Address = "10.6.6.6:6" }))
			}
			s = clone(p.find(s.Name)[0])
		}
		for i, c := range caches {
			e.eventually(fmt.Sprintf("cache %d", i), func() string { return c.wrong(s.Name, s) })
		}
	}
}

func cacheLosesLastNode(e *env) {
	p := e.open()
	c := p.cached()
	for round := range 5 {
		s := sample(e.name(fmt.Sprintf("greeter%d", round)), "1", "n1")
		p.register(s)
		c.finds(s.Name, s)
		p.deregister(s)
		e.eventually("the cache", func() string {
			found, err := c.GetService(s.Name)
			if errors.Is(err, registry.ErrNotFound) {
				return ""
			}
			return fmt.Sprintf("still finds\n%s(error %v)", textAll(found), err)
		})
	}
}

func cacheHasNoGhost(e *env) {
	p := e.open()
	c := p.cached()
	s := sample(e.name("greeter"), "1", "n1")
	other := sample(s.Name, "1", "n2")
	p.register(s)
	p.register(other)
	c.find(s.Name)
	for _, version := range []string{"2", "3", "1"} {
		s = with(s, func(m *registry.Service) { m.Version = version })
		want := []*registry.Service{s, other}
		if version == other.Version {
			want = []*registry.Service{with(s, func(m *registry.Service) { m.Nodes = append(m.Nodes, other.Nodes...) })}
		}
		p.register(s)
		e.eventually("the cache", func() string { return c.wrong(s.Name, want...) })
	}
}
