package registrytest

import (
	"errors"
	"time"

	"go-micro.dev/v4/registry"
)

func expiryCases() []Case {
	return []Case{{
		Name:  "expiry/killed",
		Rule:  "the nodes of a process that died are gone when their TTL is over",
		Needs: needs(HookKill),
		body:  killedNodesGo,
		waits: true,
	}, {
		Name:  "expiry/not-found",
		Rule:  "a service whose last node has expired is not found, nor listed",
		Needs: needs(HookKill, ExpiryDeletes),
		body:  expiredServiceIsNotFound,
		waits: true,
	}, {
		Name:  "expiry/delete",
		Rule:  "an expiry arrives as a delete with the whole record",
		Needs: needs(HookKill, ExpiryDeletes, WholeDeletes),
		body:  expiryIsADelete,
		waits: true,
	}, {
		Name:  "expiry/heartbeat",
		Rule:  "a Register that is repeated within the TTL keeps the node beyond it",
		body:  heartbeatKeepsNode,
		waits: true,
	}, {
		Name:  "expiry/self-renewing",
		Rule:  "one Register lasts as long as its process, without being repeated",
		Needs: needs(SelfRenewing),
		body:  oneRegisterLasts,
		waits: true,
	}, {
		Name:  "expiry/returns",
		Rule:  "an expired node can be registered again by a new process",
		Needs: needs(HookKill, Shared, ExpiryDeletes),
		body:  expiredNodeReturns,
		waits: true,
	}}
}

// survivor is who looks on after p is killed: another process where there can
// be one, else p itself.
func (p *process) survivor() *process {
	if p.env.backend.lacks(needs(Shared)) != "" {
		return p
	}
	return p.env.open()
}

// expiry is how long a killed process's node may still be there.
func (e *env) expiry() time.Duration { return 2*e.backend.TTL + e.backend.Patience }

func killedNodesGo(e *env) {
	p := e.open()
	reader := p.survivor()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	p.register(s, e.backend.TTL)
	reader.willFind(s.Name, s)
	p.kill()
	e.becomes(e.expiry(), "the nodes of a killed process", func() string { return noNodes(reader.find(s.Name)) })
}

func expiredServiceIsNotFound(e *env) {
	p := e.open()
	reader := p.survivor()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s, e.backend.TTL)
	p.kill()
	e.becomes(e.expiry(), "a service without nodes", func() string {
		found, err := reader.GetService(s.Name)
		if errors.Is(err, registry.ErrNotFound) {
			return differs(reader.list(), nil)
		}
		return "found: " + textAll(found)
	})
}

func expiryIsADelete(e *env) {
	p := e.open()
	reader := p.survivor()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s, e.backend.TTL)
	reader.willFind(s.Name, s)
	events := reader.follow(s.Name)
	p.kill()
	e.becomes(e.expiry(), "a delete", func() string {
		if events.nodes("delete")["n1"] > 0 {
			return ""
		}
		return "has not come\n" + events.log()
	})
	r := events.awaitNode("delete", s, "n1")
	if got, want := text(r.Service), text(s); got != want {
		e.failf("the delete carries\n%snot\n%s", got, want)
	}
}

func heartbeatKeepsNode(e *env) {
	p := e.open()
	reader := p.survivor()
	ttl := e.backend.TTL
	s := sample(e.name("greeter"), "1", "n1", "n2")
	p.register(s, ttl)
	reader.willFind(s.Name, s)
	e.holds(3*ttl, ttl*2/7, "a node with a heartbeat", func() string {
		wrong := reader.wrong(s.Name, s)
		p.register(s, ttl)
		return wrong
	})
}

func oneRegisterLasts(e *env) {
	p := e.open()
	reader := p.survivor()
	ttl := e.backend.TTL
	s := sample(e.name("greeter"), "1", "n1", "n2")
	p.register(s, ttl)
	reader.willFind(s.Name, s)
	e.holds(3*ttl, ttl/4, "a node of a living process", func() string { return reader.wrong(s.Name, s) })
}

func expiredNodeReturns(e *env) {
	old, fresh := e.open(), e.open()
	s := sample(e.name("greeter"), "1", "n1")
	old.register(s, e.backend.TTL)
	fresh.willFind(s.Name, s)
	events := fresh.follow(s.Name)
	old.kill()
	e.becomes(e.expiry(), "a service without nodes", func() string { return fresh.wrong(s.Name) })
	fresh.register(s)
	fresh.finds(s.Name, s)
	e.eventually("the folded results", func() string { return events.folded(fresh.find(s.Name)) })
}
