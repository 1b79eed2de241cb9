package registrytest

import (
	"go-micro.dev/v4/registry"
)

func closeCases() []Case {
	return []Case{{
		Name:  "close/watchers",
		Rule:  "closing the registry ends its watchers with an error",
		Needs: needs(Closer),
		body:  closeEndsWatchers,
	}, {
		Name:  "close/calls",
		Rule:  "every call on a closed registry returns an error, at once and without a panic",
		Needs: needs(Closer),
		body:  closedCallsFail,
	}, {
		Name:  "close/twice",
		Rule:  "closing again is no error, and may be done by several goroutines at once",
		Needs: needs(Closer),
		body:  closeTwice,
	}, {
		Name:  "close/withdraws",
		Rule:  "a closed registry's nodes are gone at once, and not only after their TTL",
		Needs: needs(Closer, Shared),
		body:  closeWithdraws,
	}, {
		Name:  "close/no-leak",
		Rule:  "opening, using and closing a registry leaves no goroutines behind",
		Needs: needs(Closer),
		body:  closeLeaksNothing,
	}}
}

func closeEndsWatchers(e *env) {
	p := e.open()
	one, all := p.watch(registry.WatchService(e.name("greeter"))), p.watch()
	p.close()
	_ = one.awaitEnd("Close")
	_ = all.awaitEnd("Close")
}

func closedCallsFail(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s)
	p.finds(s.Name, s)
	p.close()
	calls := map[string]func() error{
		"Register":     func() error { return p.Register(s, registry.RegisterTTL(lasting)) },
		"Deregister":   func() error { return p.Deregister(bare(s)) },
		"GetService":   func() error { _, err := p.GetService(s.Name); return err },
		"ListServices": func() error { _, err := p.ListServices(); return err },
		"Watch":        func() error { return watchFails(e, p) },
	}
	for method, call := range calls {
		e.within(e.backend.Patience, method+" after Close", func() {
			if call() == nil {
				e.failf("%s after Close returned no error", method)
			}
		})
	}
}

// watchFails returns the error of Watch or, as a watcher may be what brings
// the bad news, of its Next.
func watchFails(e *env, p *process) error {
	w, err := p.Watch()
	if err != nil {
		return err
	}
	e.onEnd(w.Stop)
	_, err = w.Next()
	return err
}

func closeTwice(e *env) {
	p := e.open()
	p.register(sample(e.name("greeter"), "1", "n1"))
	e.each(4, func(int) {
		if err := e.backend.Close(p.Registry); err != nil {
			e.failf("Close: %v", err)
		}
	})
}

func closeWithdraws(e *env) {
	p, reader := e.open(), e.open()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	p.register(s)
	reader.willFind(s.Name, s)
	p.close()
	reader.willFind(s.Name)
}

func closeLeaksNothing(e *env) {
	s := sample(e.name("greeter"), "1", "n1")
	e.leaksNothing(10, func(int) {
		p := e.open()
		p.register(s)
		p.find(s.Name)
		events := p.watch(registry.WatchService(s.Name))
		p.close()
		_ = events.awaitEnd("Close")
	})
}
