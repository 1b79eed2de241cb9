package registrytest

import (
	"fmt"

	"go-micro.dev/v4/registry"
)

func corruptCases() []Case {
	return []Case{{
		Name:  "corrupt/lookup",
		Rule:  "malformed records beside a service's sound ones don't show in GetService",
		Needs: needs(HookCorrupt),
		body:  lookupSkipsCorrupt,
	}, {
		Name:  "corrupt/list",
		Rule:  "malformed records don't show in ListServices",
		Needs: needs(HookCorrupt),
		body:  listSkipsCorrupt,
	}, {
		Name:  "corrupt/watch",
		Rule:  "malformed records neither reach nor end a watcher, and what follows them arrives",
		Needs: needs(HookCorrupt),
		body:  watchSkipsCorrupt,
	}, {
		Name:  "corrupt/register",
		Rule:  "a service with malformed records can be registered, changed and deregistered",
		Needs: needs(HookCorrupt),
		body:  registerBesideCorrupt,
	}}
}

func (e *env) corrupt(service string) {
	e.at("Corrupt")
	if err := e.backend.Corrupt(service); err != nil {
		e.fatalf("Backend.Corrupt: %v", err)
	}
}

func lookupSkipsCorrupt(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s)
	e.corrupt(s.Name)
	p.finds(s.Name, s)
	later := p.survivor()
	later.willFind(s.Name, s)
	nobody := e.name("nobody")
	e.corrupt(nobody)
	p.finds(nobody)
}

func listSkipsCorrupt(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s)
	e.corrupt(s.Name)
	if wrong := differs(p.list(), []*registry.Service{s}); wrong != "" {
		e.failf("ListServices: %s", wrong)
	}
}

func watchSkipsCorrupt(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	one, all := p.watch(registry.WatchService(s.Name)), p.watch()
	for i := range 3 {
		e.corrupt(s.Name)
		s.Nodes[0].Id = fmt.Sprintf("n%d", i)
		p.register(s)
		for _, events := range []*stream{one, all} {
			events.awaitNode(present, s, s.Nodes[0].Id)
		}
		p.deregister(s)
		for _, events := range []*stream{one, all} {
			events.awaitNode("delete", s, s.Nodes[0].Id)
		}
	}
	for _, r := range one.got() {
		if len(r.Service.Nodes) != 1 || r.Service.Nodes[0] == nil {
			e.failf("Next returned %s %s", r.Action, text(r.Service))
		}
	}
}

func registerBesideCorrupt(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	e.corrupt(s.Name)
	p.register(s)
	p.finds(s.Name, s)
	p.deregister(s)
	p.finds(s.Name)
}
