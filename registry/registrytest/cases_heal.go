package registrytest

import (
	"time"

	"go-micro.dev/v4/registry"
)

func healCases() []Case {
	return []Case{{
		Name:  "heal/vanished-register",
		Rule:  "the next Register puts back a record that somebody deleted",
		Needs: needs(HookVanish),
		body:  func(e *env) { registerPutsBack(e, e.backend.Vanish) },
	}, {
		Name:  "heal/vanished-alone",
		Rule:  "a record that somebody deleted comes back without another Register",
		Needs: needs(HookVanish, SelfHealing),
		body:  func(e *env) { comesBackAlone(e, e.backend.Vanish) },
	}, {
		Name:  "heal/revoked-register",
		Rule:  "the next Register puts back a record that was lost with its lease",
		Needs: needs(HookRevoke),
		body:  func(e *env) { registerPutsBack(e, e.backend.Revoke) },
	}, {
		Name:  "heal/revoked-alone",
		Rule:  "a record that was lost with its lease comes back without another Register",
		Needs: needs(HookRevoke, SelfHealing),
		body:  func(e *env) { comesBackAlone(e, e.backend.Revoke) },
	}, {
		Name:  "heal/deregistered",
		Rule:  "what was deregistered does not come back, whatever happened to its record before",
		Needs: needs(HookVanish),
		body:  deregisteredStaysAway,
	}}
}

// lose takes node n1 of s away, and returns a process that has not seen it yet.
func (p *process) lose(s *registry.Service, how func(service, node string) error) *process {
	p.env.at("taking %s node n1 away", s.Name)
	if err := how(s.Name, "n1"); err != nil {
		p.env.fatalf("the Backend's hook: %v", err)
	}
	return p.survivor()
}

func registerPutsBack(e *env, how func(service, node string) error) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	p.register(s)
	reader := p.lose(s, how)
	e.eventually("after Register", func() string {
		p.register(s)
		return reader.wrong(s.Name, s)
	})
}

func comesBackAlone(e *env, how func(service, node string) error) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	p.register(s)
	for range 3 {
		p.lose(s, how).willFind(s.Name, s)
		p.willFind(s.Name, s)
	}
}

func deregisteredStaysAway(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	p.register(s)
	reader := p.lose(s, e.backend.Vanish)
	p.deregister(s)
	reader.willFind(s.Name)
	e.holds(e.backend.TTL, e.backend.TTL/20, "after Deregister", func() string { return reader.wrong(s.Name) })
	p.register(s, time.Minute)
	p.finds(s.Name, s)
}
