package registrytest

import (
	"go-micro.dev/v4/registry"
)

func refuseCases() []Case {
	return []Case{
		refusal("nil-service", "a nil Service", func(string) *registry.Service { return nil }),
		refusal("no-nodes", "a Service without nodes", func(name string) *registry.Service { return sample(name, "1") }),
		refusal("nil-node", "a Service with a nil node", func(name string) *registry.Service {
			return with(sample(name, "1", "n1"), func(s *registry.Service) { s.Nodes = append(s.Nodes, nil) })
		}),
		refusal("no-name", "a Service without a name", func(string) *registry.Service { return sample("", "1", "n1") }),
		refusal("no-node-id", "a node without an id", func(name string) *registry.Service { return sample(name, "1", "") }),
		{
			Name:  "refuse/whole-or-nothing",
			Rule:  "a Register that is refused for one of its nodes registers none of them",
			Needs: needs(Validates),
			body:  refusedRegisterLeavesNothing,
		},
		{
			Name:  "refuse/deregister",
			Rule:  "Deregister of a nil Service, or of one without nodes, is an error and not a panic",
			Needs: needs(Validates),
			body:  deregisterOfNothing,
		},
	}
}

func refusal(name, what string, bad func(service string) *registry.Service) Case {
	return Case{
		Name:  "refuse/" + name,
		Rule:  "Register of " + what + " is an error: neither a success nor a panic",
		Needs: needs(Validates),
		body: func(e *env) {
			p := e.open()
			good := sample(e.name("greeter"), "1", "good")
			p.register(good)
			if err := p.Register(bad(good.Name), registry.RegisterTTL(lasting)); err == nil {
				e.failf("Register of %s returned no error", what)
			}
			p.finds(good.Name, good)
		},
	}
}

func refusedRegisterLeavesNothing(e *env) {
	p := e.open()
	bad := with(sample(e.name("greeter"), "1", "n1"), func(s *registry.Service) { s.Nodes = append(s.Nodes, nil) })
	if err := p.Register(bad, registry.RegisterTTL(lasting)); err == nil {
		e.failf("Register of a nil node returned no error")
	}
	p.finds(bad.Name)
}

func deregisterOfNothing(e *env) {
	p := e.open()
	good := sample(e.name("greeter"), "1", "good")
	p.register(good)
	for _, bad := range []*registry.Service{nil, {Name: good.Name, Version: "1"}} {
		if err := p.Deregister(bad); err == nil {
			e.failf("Deregister of %s returned no error", text(bad))
		}
	}
	p.finds(good.Name, good)
}
