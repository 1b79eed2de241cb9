package cases

import (
	"fmt"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func healCases() []Case {
	return []Case{{
		Name:  "heal/vanished-register",
		Rule:  "the next Register puts back a record that somebody deleted",
		Needs: needs(HookVanish),
		Body:  func(e *harness.Env) { registerPutsBack(e, e.Backend.Vanish) },
	}, {
		Name:  "heal/vanished-alone",
		Rule:  "a record that somebody deleted comes back without another Register",
		Needs: needs(HookVanish, SelfHealing),
		Body:  func(e *harness.Env) { comesBackAlone(e, e.Backend.Vanish) },
	}, {
		Name:  "heal/revoked-register",
		Rule:  "the next Register puts back a record that was lost with its lease",
		Needs: needs(HookRevoke),
		Body:  func(e *harness.Env) { registerPutsBack(e, e.Backend.Revoke) },
	}, {
		Name:  "heal/revoked-alone",
		Rule:  "a record that was lost with its lease comes back without another Register",
		Needs: needs(HookRevoke, SelfHealing),
		Body:  func(e *harness.Env) { comesBackAlone(e, e.Backend.Revoke) },
	}, {
		Name:  "heal/deregistered",
		Rule:  "what was deregistered does not come back, whatever happened to its record before",
		Needs: needs(HookVanish),
		Body:  deregisteredStaysAway,
	}}
}

// lose takes node n1 of s away, and returns a process that has not seen it yet.
func lose(e *harness.Env, p *harness.Process, s *registry.Service, hook func(service, node string) error,
) *harness.Process {
	e.Step("taking %s node n1 away", s.Name)
	if err := hook(s.Name, "n1"); err != nil {
		e.Fatalf("the Backend's hook: %v", err)
	}
	return p.Observer()
}

func registerPutsBack(e *harness.Env, hook func(service, node string) error) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s)
	reader := lose(e, p, s, hook)
	e.Eventually("after Register", func() string {
		p.Register(s)
		return reader.Differs(s.Name, s)
	})
}

func comesBackAlone(e *harness.Env, hook func(service, node string) error) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s)
	for range 3 {
		lose(e, p, s, hook).WillFind(s.Name, s)
		p.WillFind(s.Name, s)
	}
}

func deregisteredStaysAway(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s)
	reader := lose(e, p, s, e.Backend.Vanish)
	p.Deregister(s)
	reader.WillFind(s.Name)
	e.Consistently(e.Backend.TTL, e.Backend.TTL/20, "after Deregister", func() string { return reader.Differs(s.Name) })
	p.Register(s, time.Minute)
	p.Finds(s.Name, s)
}

func corruptCases() []Case {
	return []Case{{
		Name:  "corrupt/lookup",
		Rule:  "malformed records beside a service's sound ones don't show in GetService",
		Needs: needs(HookCorrupt),
		Body:  lookupSkipsCorrupt,
	}, {
		Name:  "corrupt/list",
		Rule:  "malformed records don't show in ListServices",
		Needs: needs(HookCorrupt),
		Body:  listSkipsCorrupt,
	}, {
		Name:  "corrupt/watch",
		Rule:  "malformed records neither reach nor end a watcher, and what follows them arrives",
		Needs: needs(HookCorrupt),
		Body:  watchSkipsCorrupt,
	}, {
		Name:  "corrupt/register",
		Rule:  "a service with malformed records can be registered, changed and deregistered",
		Needs: needs(HookCorrupt),
		Body:  registerBesideCorrupt,
	}}
}

func corrupt(e *harness.Env, service string) {
	e.Step("Corrupt")
	if err := e.Backend.Corrupt(service); err != nil {
		e.Fatalf("Backend.Corrupt: %v", err)
	}
}

func lookupSkipsCorrupt(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s)
	corrupt(e, s.Name)
	p.Finds(s.Name, s)
	later := p.Observer()
	later.WillFind(s.Name, s)
	nobody := e.Name("nobody")
	corrupt(e, nobody)
	p.Finds(nobody)
}

func listSkipsCorrupt(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s)
	corrupt(e, s.Name)
	p.Lists(s)
}

func watchSkipsCorrupt(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	one, all := p.Watch(registry.WatchService(s.Name)), p.Watch()
	for i := range 3 {
		corrupt(e, s.Name)
		s.Nodes[0].Id = fmt.Sprintf("n%d", i)
		p.Register(s)
		for _, events := range []*harness.Stream{one, all} {
			events.AwaitNode(harness.Present, s, s.Nodes[0].Id)
		}
		p.Deregister(s)
		for _, events := range []*harness.Stream{one, all} {
			events.AwaitNode("delete", s, s.Nodes[0].Id)
		}
	}
	for _, r := range one.Results() {
		if len(r.Service.Nodes) != 1 || r.Service.Nodes[0] == nil {
			e.Failf("Next returned %s %s", r.Action, record.Text(r.Service))
		}
	}
}

func registerBesideCorrupt(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	corrupt(e, s.Name)
	p.Register(s)
	p.Finds(s.Name, s)
	p.Deregister(s)
	p.Finds(s.Name)
}
