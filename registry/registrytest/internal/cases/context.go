package cases

import (
	"context"
	"errors"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func contextCases() []Case {
	return []Case{
		ended("register", "Register", func(ctx context.Context, p *harness.Process, s *registry.Service) error {
			return p.Registry.Register(record.With(s, func(c *registry.Service) { c.Nodes[0].Id = "other" }),
				registry.RegisterTTL(harness.LongTTL), registry.RegisterContext(ctx))
		}),
		ended("deregister", "Deregister", func(ctx context.Context, p *harness.Process, s *registry.Service) error {
			return p.Registry.Deregister(record.Bare(s), registry.DeregisterContext(ctx))
		}),
		ended("lookup", "GetService", func(ctx context.Context, p *harness.Process, s *registry.Service) error {
			_, err := p.Registry.GetService(s.Name+".never.seen", registry.GetContext(ctx))
			return err
		}),
		ended("list", "ListServices", func(ctx context.Context, p *harness.Process, _ *registry.Service) error {
			_, err := p.Registry.ListServices(registry.ListContext(ctx))
			return err
		}),
	}
}

// ended makes a case: a call under a context that has ended already.
func ended(name, method string, call func(context.Context, *harness.Process, *registry.Service) error) Case {
	return Case{
		Name:  "context/" + name,
		Rule:  method + " under a context that has ended returns that context's error, at once",
		Needs: needs(Contexts),
		Body: func(e *harness.Env) {
			p := e.Open()
			s := record.Sample(e.Name("greeter"), "1", "n1")
			p.Register(s)
			ctx, cancel := context.WithCancel(e.Context())
			cancel()
			e.Within(e.Backend.CallTimeout, method+" under an ended context", func() {
				if err := call(ctx, p, s); !errors.Is(err, context.Canceled) {
					e.Failf("%s returned %v, not context.Canceled", method, err)
				}
			})
		},
	}
}
