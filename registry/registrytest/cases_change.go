package registrytest

import (
	"time"

	"go-micro.dev/v4/registry"
)

func changeCases() []Case {
	return []Case{
		change("node-address", "a node's address", func(s *registry.Service) { s.Nodes[0].Address = "10.9.9.9:1" }),
		change("node-metadata", "a node's metadata", func(s *registry.Service) { s.Nodes[0].Metadata = map[string]string{"zone": "moved"} }),
		change("service-metadata", "the service's metadata", func(s *registry.Service) { s.Metadata = map[string]string{"team": "red"} }),
		change("endpoints", "the endpoints", func(s *registry.Service) {
			s.Endpoints = s.Endpoints[1:]
			s.Endpoints[0].Response.Values = []*registry.Value{{Name: "added", Type: "bool"}}
		}),
		change("version", "the version: the node leaves the old one", func(s *registry.Service) { s.Version = "2" }),
		{
			Name:  "change/ttl",
			Rule:  "Register with another TTL makes that the node's TTL",
			Needs: needs(WholeRecord, Shared, HookKill),
			body:  changeTTL,
			waits: true,
		},
	}
}

// change makes a case: after registering once and again changed, only the
// changed record is found, here and by another process.
func change(name, what string, edit func(*registry.Service)) Case {
	return Case{
		Name:  "change/" + name,
		Rule:  "Register replaces " + what,
		Needs: needs(WholeRecord),
		body: func(e *env) {
			p := e.open()
			s := sample(e.name("greeter"), "1", "n1")
			changed := with(s, edit)
			p.register(s)
			p.finds(s.Name, s)
			p.register(changed)
			p.finds(s.Name, changed)
			if wrong := differs(p.list(), []*registry.Service{changed}); wrong != "" {
				e.failf("ListServices: %s", wrong)
			}
			p.register(s)
			p.finds(s.Name, s)
		},
	}
}

func changeTTL(e *env) {
	p, reader := e.open(), e.open()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s, 10*time.Minute)
	p.register(s, e.backend.TTL)
	p.kill()
	e.becomes(2*e.backend.TTL+e.backend.Patience, "a node whose TTL was shortened expires", func() string {
		return noNodes(reader.find(s.Name))
	})
}

// noNodes says what nodes there are.
func noNodes(found []*registry.Service) string {
	for _, s := range found {
		if s == nil || len(s.Nodes) > 0 {
			return "still there: " + text(s)
		}
	}
	return ""
}
