package cases

import (
	"errors"
	"fmt"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/registry/cache"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func cacheCases() []Case {
	return []Case{{
		Name:  "cache/converges",
		Rule:  "several of Go Micro's caches over one registry come to agree with it, whatever happens between lookup and watch",
		Needs: needs(Lossless, SinceLookup, WholeRecord),
		Body:  cachesConverge,
	}, {
		Name:  "cache/last-node",
		Rule:  "a cache learns that the last node is gone, though it was deregistered right after the first lookup",
		Needs: needs(Lossless, SinceLookup),
		Body:  cacheLosesLastNode,
	}, {
		Name:  "cache/version-move",
		Rule:  "a node that moves to another version leaves no ghost in a cache",
		Needs: needs(Lossless, SinceLookup, WholeRecord),
		Body:  cacheHasNoGhost,
	}}
}

// cached puts Go Micro's cache over p, as its selector does.
func cached(e *harness.Env, p *harness.Process) *harness.Process {
	c := cache.New(p.Registry)
	e.Cleanup(c.Stop)
	return harness.NewProcess(e, c)
}

func cachesConverge(e *harness.Env) {
	p := e.Open()
	caches := []*harness.Process{cached(e, p), cached(e, p), cached(e, p)}
	for round := range 5 {
		s := record.Sample(e.Name(fmt.Sprintf("greeter%d", round)), "1", "n1", "n2", "n3")
		p.Register(s)
		for i, c := range caches {
			c.Finds(s.Name, s)
			id := fmt.Sprintf("n%d", i+1)
			switch i {
			case 0:
				p.Deregister(record.Only(s, id))
			case 1:
				p.Register(record.With(record.Only(s, id), func(m *registry.Service) { m.Nodes[0].Address = "10.6.6.6:6" }))
			}
			s = record.Clone(p.Find(s.Name)[0])
		}
		for i, c := range caches {
			e.Eventually(fmt.Sprintf("cache %d", i), func() string { return c.Differs(s.Name, s) })
		}
	}
}

func cacheLosesLastNode(e *harness.Env) {
	p := e.Open()
	c := cached(e, p)
	for round := range 5 {
		s := record.Sample(e.Name(fmt.Sprintf("greeter%d", round)), "1", "n1")
		p.Register(s)
		c.Finds(s.Name, s)
		p.Deregister(s)
		e.Eventually("the cache", func() string {
			found, err := c.Registry.GetService(s.Name)
			if errors.Is(err, registry.ErrNotFound) {
				return ""
			}
			return fmt.Sprintf("still finds\n%s(error %v)", record.TextAll(found), err)
		})
	}
}

func cacheHasNoGhost(e *harness.Env) {
	p := e.Open()
	c := cached(e, p)
	s := record.Sample(e.Name("greeter"), "1", "n1")
	other := record.Sample(s.Name, "1", "n2")
	p.Register(s)
	p.Register(other)
	c.Find(s.Name)
	for _, version := range []string{"2", "3", "1"} {
		s = record.With(s, func(m *registry.Service) { m.Version = version })
		want := []*registry.Service{s, other}
		if version == other.Version {
			want = []*registry.Service{record.With(s, func(m *registry.Service) { m.Nodes = append(m.Nodes, other.Nodes...) })}
		}
		p.Register(s)
		e.Eventually("the cache", func() string { return c.Differs(s.Name, want...) })
	}
}
