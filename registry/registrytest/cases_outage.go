package registrytest

import (
	"errors"
	"time"

	"go-micro.dev/v4/registry"
)

func outageCases() []Case {
	return []Case{
		bounded("register", "Register of a new node, which can't have succeeded, is an error", func(e *env, p *process, _ *registry.Service) {
			if err := p.Register(sample(e.name("late"), "1", "n1"), registry.RegisterTTL(lasting)); err == nil {
				e.failf("Register returned no error with the store away")
			}
		}),
		bounded("register-many", "Register of many new nodes returns within one Timeout, not one for each", func(e *env, p *process, _ *registry.Service) {
			many := sample(e.name("late"), "1", "n1", "n2", "n3", "n4", "n5")
			if err := p.Register(many, registry.RegisterTTL(lasting)); err == nil {
				e.failf("Register returned no error with the store away")
			}
		}),
		bounded("heartbeat", "Register of what is registered already returns", func(_ *env, p *process, s *registry.Service) {
			_ = p.Register(s, registry.RegisterTTL(lasting))
		}),
		bounded("deregister", "Deregister, which can't have succeeded, is an error", func(e *env, p *process, s *registry.Service) {
			if err := p.Deregister(bare(s)); err == nil {
				e.failf("Deregister returned no error with the store away")
			}
		}),
		bounded("lookup", "GetService of a name never seen is an error, but not ErrNotFound: nobody knows", func(e *env, p *process, s *registry.Service) {
			found, err := p.GetService(s.Name + ".never.seen")
			if err == nil || errors.Is(err, registry.ErrNotFound) {
				e.failf("GetService returned %v and the error %v with the store away", found, err)
			}
		}),
		bounded("list", "ListServices returns", func(_ *env, p *process, _ *registry.Service) {
			_, _ = p.ListServices()
		}),
		bounded("watch", "Watch returns", func(e *env, p *process, _ *registry.Service) {
			if w, err := p.Watch(registry.WatchService(e.name("late"))); err == nil {
				e.onEnd(w.Stop)
			}
		}),
		bounded("init", "Init returns", func(_ *env, p *process, _ *registry.Service) {
			_ = p.Init(registry.Timeout(p.env.backend.CallTimeout))
		}),
		{
			Name:  "outage/stop",
			Rule:  "with the store away, Stop of a watcher returns, and so does its Next",
			Needs: needs(HookCut, Bounded),
			body:  stopWhileAway,
		},
	}
}

// bounded makes a case: with the store away, call returns within the Timeout
// that the registry was given (and a second more, for slow machines).
func bounded(name, what string, call func(*env, *process, *registry.Service)) Case {
	return Case{
		Name:  "outage/" + name,
		Rule:  "with the store away and within registry.Timeout: " + what,
		Needs: needs(HookCut, Bounded),
		body: func(e *env) {
			p := e.open(registry.Timeout(e.backend.CallTimeout))
			s := sample(e.name("greeter"), "1", "n1")
			p.register(s)
			p.finds(s.Name, s)
			restore := p.cut()
			defer restore()
			for _, when := range []string{"first", "second"} {
				e.within(e.backend.CallTimeout+time.Second, name+", the "+when+" time", func() { call(e, p, s) })
			}
		},
	}
}

func stopWhileAway(e *env) {
	p := e.open(registry.Timeout(e.backend.CallTimeout))
	read := p.watch(registry.WatchService(e.name("greeter")))
	unread := p.watchUnread(registry.WatchService(e.name("greeter")))
	restore := p.cut()
	defer restore()
	for _, events := range []*stream{read, unread} {
		e.within(e.backend.CallTimeout+time.Second, "Stop", events.w.Stop)
	}
	_ = read.awaitEnd("Stop")
	e.within(e.backend.CallTimeout+time.Second, "Next after Stop", func() { _, _ = unread.w.Next() })
}

func outageRecoveryCases() []Case {
	return []Case{{
		Name:  "outage/last-view",
		Rule:  "with the store away, a service that was looked up before still is found as it was",
		Needs: needs(HookCut, LastView),
		body:  lastViewStays,
	}, {
		Name:  "outage/watch-resumes",
		Rule:  "what happened while the store was away arrives once it is back, deletes too",
		Needs: needs(HookCut, Shared),
		body:  watchResumes,
	}, {
		Name:  "outage/lookup-resumes",
		Rule:  "lookups are right again once the store is back",
		Needs: needs(HookCut, Shared),
		body:  lookupResumes,
	}, {
		Name:  "outage/register-completes",
		Rule:  "a Register that failed because the store was away takes effect once it is back",
		Needs: needs(HookCut, SelfHealing),
		body:  registerCompletes,
	}, {
		Name:  "outage/deregister-completes",
		Rule:  "a Deregister that failed because the store was away takes effect within the TTL",
		Needs: needs(HookCut, SelfHealing, Shared),
		body:  deregisterCompletes,
		waits: true,
	}}
}

func lastViewStays(e *env) {
	p := e.open(registry.Timeout(e.backend.CallTimeout))
	s := sample(e.name("greeter"), "1", "n1", "n2")
	p.register(s)
	p.finds(s.Name, s)
	restore := p.cut()
	defer restore()
	e.holds(2*e.backend.CallTimeout, e.backend.CallTimeout/10, "with the store away", func() string {
		return p.wrong(s.Name, s)
	})
}

func watchResumes(e *env) {
	p := e.open()
	reader := e.open(registry.Timeout(e.backend.CallTimeout))
	s := sample(e.name("greeter"), "1", "stays", "goes", "comes")
	p.register(with(s, func(c *registry.Service) { c.Nodes = c.Nodes[:2] }))
	reader.willFind(s.Name, with(s, func(c *registry.Service) { c.Nodes = c.Nodes[:2] }))
	events := reader.follow(s.Name)
	restore := reader.cut()
	defer restore()
	p.deregister(only(s, "goes"))
	p.register(only(s, "comes"))
	restore()
	e.becomes(3*e.backend.Patience, "the folded results", func() string { return events.folded(p.find(s.Name)) })
}

func lookupResumes(e *env) {
	p := e.open()
	reader := e.open(registry.Timeout(e.backend.CallTimeout))
	s := sample(e.name("greeter"), "1", "goes", "comes")
	p.register(only(s, "goes"))
	reader.willFind(s.Name, only(s, "goes"))
	restore := reader.cut()
	defer restore()
	p.deregister(only(s, "goes"))
	p.register(only(s, "comes"))
	restore()
	e.becomes(3*e.backend.Patience, "GetService", func() string {
		found, err := reader.GetService(s.Name)
		if err != nil {
			return err.Error()
		}
		return differs(found, []*registry.Service{only(s, "comes")})
	})
}

func registerCompletes(e *env) {
	p := e.open(registry.Timeout(e.backend.CallTimeout))
	reader := p.survivor()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	restore := p.cut()
	defer restore()
	if err := p.Register(s, registry.RegisterTTL(lasting)); err == nil {
		e.failf("Register returned no error with the store away")
	}
	restore()
	e.becomes(3*e.backend.Patience, "GetService", func() string { return reader.wrong(s.Name, s) })
}

func deregisterCompletes(e *env) {
	p, reader := e.open(registry.Timeout(e.backend.CallTimeout)), e.open()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s, e.backend.TTL)
	reader.willFind(s.Name, s)
	restore := p.cut()
	defer restore()
	_ = p.Deregister(bare(s))
	restore()
	e.becomes(e.expiry(), "GetService", func() string { return reader.wrong(s.Name) })
}
