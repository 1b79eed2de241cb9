package cases

import (
	"errors"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func outageCases() []Case {
	return []Case{
		bounded("register", "Register of a new node, which can't have succeeded, is an error",
			func(e *harness.Env, p *harness.Process, _ *registry.Service) {
				s := record.Sample(e.Name("late"), "1", "n1")
				if err := p.Registry.Register(s, registry.RegisterTTL(harness.LongTTL)); err == nil {
					e.Failf("Register returned no error with the store away")
				}
			}),
		bounded("register-many", "Register of many new nodes returns within one Timeout, not one for each",
			func(e *harness.Env, p *harness.Process, _ *registry.Service) {
				many := record.Sample(e.Name("late"), "1", "n1", "n2", "n3", "n4", "n5")
				if err := p.Registry.Register(many, registry.RegisterTTL(harness.LongTTL)); err == nil {
					e.Failf("Register returned no error with the store away")
				}
			}),
		bounded("heartbeat", "Register of what is registered already returns",
			func(_ *harness.Env, p *harness.Process, s *registry.Service) {
				_ = p.Registry.Register(s, registry.RegisterTTL(harness.LongTTL))
			}),
		bounded("deregister", "Deregister, which can't have succeeded, is an error",
			func(e *harness.Env, p *harness.Process, s *registry.Service) {
				if err := p.Registry.Deregister(record.Bare(s)); err == nil {
					e.Failf("Deregister returned no error with the store away")
				}
			}),
		bounded("lookup", "GetService of a name never seen is an error, but not ErrNotFound: nobody knows",
			func(e *harness.Env, p *harness.Process, s *registry.Service) {
				found, err := p.Registry.GetService(s.Name + ".never.seen")
				if err == nil || errors.Is(err, registry.ErrNotFound) {
					e.Failf("GetService returned %v and the error %v with the store away", found, err)
				}
			}),
		bounded("list", "ListServices returns",
			func(_ *harness.Env, p *harness.Process, _ *registry.Service) {
				_, _ = p.Registry.ListServices()
			}),
		bounded("watch", "Watch returns",
			func(e *harness.Env, p *harness.Process, _ *registry.Service) {
				if w, err := p.Registry.Watch(registry.WatchService(e.Name("late"))); err == nil {
					e.Cleanup(w.Stop)
				}
			}),
		bounded("init", "Init returns",
			func(e *harness.Env, p *harness.Process, _ *registry.Service) {
				_ = p.Registry.Init(registry.Timeout(e.Backend.CallTimeout))
			}),
		{
			Name:  "outage/stop",
			Rule:  "with the store away, Stop of a watcher returns, and so does its Next",
			Needs: needs(HookCut, Bounded),
			Body:  stopWhileAway,
		},
	}
}

// bounded makes a case: with the store away, call returns within the Timeout that the registry was given (and a second
// more, for slow machines).
func bounded(name, what string, call func(*harness.Env, *harness.Process, *registry.Service)) Case {
	return Case{
		Name:  "outage/" + name,
		Rule:  "with the store away and within registry.Timeout: " + what,
		Needs: needs(HookCut, Bounded),
		Waits: true,
		Body: func(e *harness.Env) {
			p := e.Open(registry.Timeout(e.Backend.CallTimeout))
			s := record.Sample(e.Name("greeter"), "1", "n1")
			p.Register(s)
			p.Finds(s.Name, s)
			restore := p.Cut()
			defer restore()
			for _, when := range []string{"first", "second"} {
				e.Within(e.Backend.CallTimeout+time.Second, name+", the "+when+" time", func() { call(e, p, s) })
			}
		},
	}
}

func stopWhileAway(e *harness.Env) {
	p := e.Open(registry.Timeout(e.Backend.CallTimeout))
	read := p.Watch(registry.WatchService(e.Name("greeter")))
	unread := p.WatchUnread(registry.WatchService(e.Name("greeter")))
	restore := p.Cut()
	defer restore()
	for _, events := range []*harness.Stream{read, unread} {
		e.Within(e.Backend.CallTimeout+time.Second, "Stop", events.Stop)
	}
	_ = read.AwaitEnd("Stop")
	e.Within(e.Backend.CallTimeout+time.Second, "Next after Stop", func() { _, _ = unread.Next() })
}

func outageRecoveryCases() []Case {
	return []Case{{
		Name:  "outage/last-view",
		Rule:  "with the store away, a service that was looked up before still is found as it was",
		Needs: needs(HookCut, LastView),
		Waits: true,
		Body:  lastViewStays,
	}, {
		Name:  "outage/watch-resumes",
		Rule:  "what happened while the store was away arrives once it is back, deletes too",
		Needs: needs(HookCut, Shared),
		Body:  watchResumes,
	}, {
		Name:  "outage/lookup-resumes",
		Rule:  "lookups are right again once the store is back",
		Needs: needs(HookCut, Shared),
		Body:  lookupResumes,
	}, {
		Name:  "outage/register-completes",
		Rule:  "a Register that failed because the store was away takes effect once it is back",
		Needs: needs(HookCut, SelfHealing),
		Body:  registerCompletes,
	}, {
		Name:  "outage/deregister-completes",
		Rule:  "a Deregister that failed because the store was away takes effect within the TTL",
		Needs: needs(HookCut, SelfHealing, Shared),
		Body:  deregisterCompletes,
		Waits: true,
	}}
}

func lastViewStays(e *harness.Env) {
	p := e.Open(registry.Timeout(e.Backend.CallTimeout))
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s)
	p.Finds(s.Name, s)
	restore := p.Cut()
	defer restore()
	e.Consistently(2*e.Backend.CallTimeout, e.Backend.CallTimeout/10, "with the store away", func() string {
		return p.Differs(s.Name, s)
	})
}

func watchResumes(e *harness.Env) {
	p := e.Open()
	reader := e.Open(registry.Timeout(e.Backend.CallTimeout))
	s := record.Sample(e.Name("greeter"), "1", "stays", "goes", "comes")
	p.Register(record.With(s, func(c *registry.Service) { c.Nodes = c.Nodes[:2] }))
	reader.WillFind(s.Name, record.With(s, func(c *registry.Service) { c.Nodes = c.Nodes[:2] }))
	events := reader.Follow(s.Name)
	restore := reader.Cut()
	defer restore()
	p.Deregister(record.Only(s, "goes"))
	p.Register(record.Only(s, "comes"))
	restore()
	e.EventuallyWithin(3*e.Backend.Patience, "the folded results", func() string { return events.Differs(p.Find(s.Name)) })
}

func lookupResumes(e *harness.Env) {
	p := e.Open()
	reader := e.Open(registry.Timeout(e.Backend.CallTimeout))
	s := record.Sample(e.Name("greeter"), "1", "goes", "comes")
	p.Register(record.Only(s, "goes"))
	reader.WillFind(s.Name, record.Only(s, "goes"))
	restore := reader.Cut()
	defer restore()
	p.Deregister(record.Only(s, "goes"))
	p.Register(record.Only(s, "comes"))
	restore()
	e.EventuallyWithin(3*e.Backend.Patience, "GetService", func() string {
		found, err := reader.Registry.GetService(s.Name)
		if err != nil {
			return err.Error()
		}
		return record.Differs(found, []*registry.Service{record.Only(s, "comes")})
	})
}

func registerCompletes(e *harness.Env) {
	p := e.Open(registry.Timeout(e.Backend.CallTimeout))
	reader := p.Observer()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	restore := p.Cut()
	defer restore()
	if err := p.Registry.Register(s, registry.RegisterTTL(harness.LongTTL)); err == nil {
		e.Failf("Register returned no error with the store away")
	}
	restore()
	e.EventuallyWithin(3*e.Backend.Patience, "GetService", func() string { return reader.Differs(s.Name, s) })
}

func deregisterCompletes(e *harness.Env) {
	p, reader := e.Open(registry.Timeout(e.Backend.CallTimeout)), e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s, e.Backend.TTL)
	reader.WillFind(s.Name, s)
	restore := p.Cut()
	defer restore()
	_ = p.Registry.Deregister(record.Bare(s))
	restore()
	e.EventuallyWithin(e.Backend.Expiry(), "GetService", func() string { return reader.Differs(s.Name) })
}
