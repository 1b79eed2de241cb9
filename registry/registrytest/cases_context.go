package registrytest

import (
	"context"
	"errors"

	"go-micro.dev/v4/registry"
)

func contextCases() []Case {
	return []Case{
		ended("register", "Register", func(ctx context.Context, p *process, s *registry.Service) error {
			return p.Register(with(s, func(c *registry.Service) { c.Nodes[0].Id = "other" }),
				registry.RegisterTTL(lasting), registry.RegisterContext(ctx))
		}),
		ended("deregister", "Deregister", func(ctx context.Context, p *process, s *registry.Service) error {
			return p.Deregister(bare(s), registry.DeregisterContext(ctx))
		}),
		ended("lookup", "GetService", func(ctx context.Context, p *process, s *registry.Service) error {
			_, err := p.GetService(s.Name+".never.seen", registry.GetContext(ctx))
			return err
		}),
		ended("list", "ListServices", func(ctx context.Context, p *process, _ *registry.Service) error {
			_, err := p.ListServices(registry.ListContext(ctx))
			return err
		}),
	}
}

// ended makes a case: a call under a context that has ended already.
func ended(name, method string, call func(context.Context, *process, *registry.Service) error) Case {
	return Case{
		Name:  "context/" + name,
		Rule:  method + " under a context that has ended returns that context's error, at once",
		Needs: needs(Contexts),
		body: func(e *env) {
			p := e.open()
			s := sample(e.name("greeter"), "1", "n1")
			p.register(s)
			ctx, cancel := context.WithCancel(e.ctx)
			cancel()
			e.within(e.backend.CallTimeout, method+" under an ended context", func() {
				if err := call(ctx, p, s); !errors.Is(err, context.Canceled) {
					e.failf("%s returned %v, not context.Canceled", method, err)
				}
			})
		},
	}
}
