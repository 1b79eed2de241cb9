package cases

import (
	"errors"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func expiryCases() []Case {
	return []Case{{
		Name:  "expiry/killed",
		Rule:  "the nodes of a process that died are gone when their TTL is over",
		Needs: needs(HookKill),
		Body:  killedNodesGo,
		Waits: true,
	}, {
		Name:  "expiry/not-found",
		Rule:  "a service whose last node has expired is not found, nor listed",
		Needs: needs(HookKill, ExpiryDeletes),
		Body:  expiredServiceIsNotFound,
		Waits: true,
	}, {
		Name:  "expiry/delete",
		Rule:  "an expiry arrives as a delete with the whole record",
		Needs: needs(HookKill, ExpiryDeletes, WholeDeletes),
		Body:  expiryIsADelete,
		Waits: true,
	}, {
		Name:  "expiry/heartbeat",
		Rule:  "a Register that is repeated within the TTL keeps the node beyond it",
		Body:  heartbeatKeepsNode,
		Waits: true,
	}, {
		Name:  "expiry/self-renewing",
		Rule:  "one Register lasts as long as its process, without being repeated",
		Needs: needs(SelfRenewing),
		Body:  oneRegisterLasts,
		Waits: true,
	}, {
		Name:  "expiry/returns",
		Rule:  "an expired node can be registered again by a new process",
		Needs: needs(HookKill, Shared, ExpiryDeletes),
		Body:  expiredNodeReturns,
		Waits: true,
	}}
}

// noNodes says what nodes there are.
func noNodes(found []*registry.Service) string {
	for _, s := range found {
		if s == nil || len(s.Nodes) > 0 {
			return "still there: " + record.Text(s)
		}
	}
	return ""
}

func killedNodesGo(e *harness.Env) {
	p := e.Open()
	reader := p.Observer()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s, e.Backend.TTL)
	reader.WillFind(s.Name, s)
	p.Kill()
	e.EventuallyWithin(e.Backend.Expiry(), "the nodes of a killed process", func() string {
		return noNodes(reader.Find(s.Name))
	})
}

func expiredServiceIsNotFound(e *harness.Env) {
	p := e.Open()
	reader := p.Observer()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s, e.Backend.TTL)
	p.Kill()
	e.EventuallyWithin(e.Backend.Expiry(), "a service without nodes", func() string {
		found, err := reader.Registry.GetService(s.Name)
		if errors.Is(err, registry.ErrNotFound) {
			return record.Differs(reader.List(), nil)
		}
		return "found: " + record.TextAll(found)
	})
}

func expiryIsADelete(e *harness.Env) {
	p := e.Open()
	reader := p.Observer()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s, e.Backend.TTL)
	reader.WillFind(s.Name, s)
	events := reader.Follow(s.Name)
	p.Kill()
	e.EventuallyWithin(e.Backend.Expiry(), "a delete", func() string {
		if events.Nodes("delete")["n1"] > 0 {
			return ""
		}
		return "has not come\n" + events.Log()
	})
	carries(e, "delete", events.AwaitNode("delete", s, "n1"), s)
}

func heartbeatKeepsNode(e *harness.Env) {
	p := e.Open()
	reader := p.Observer()
	ttl := e.Backend.TTL
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s, ttl)
	reader.WillFind(s.Name, s)
	e.Consistently(3*ttl, ttl*2/7, "a node with a heartbeat", func() string {
		wrong := reader.Differs(s.Name, s)
		p.Register(s, ttl)
		return wrong
	})
}

func oneRegisterLasts(e *harness.Env) {
	p := e.Open()
	reader := p.Observer()
	ttl := e.Backend.TTL
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s, ttl)
	reader.WillFind(s.Name, s)
	e.Consistently(3*ttl, ttl/4, "a node of a living process", func() string { return reader.Differs(s.Name, s) })
}

func expiredNodeReturns(e *harness.Env) {
	old, fresh := e.Open(), e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	old.Register(s, e.Backend.TTL)
	fresh.WillFind(s.Name, s)
	events := fresh.Follow(s.Name)
	old.Kill()
	e.EventuallyWithin(e.Backend.Expiry(), "a service without nodes", func() string { return fresh.Differs(s.Name) })
	fresh.Register(s)
	fresh.Finds(s.Name, s)
	e.Eventually("the folded results", func() string { return events.Differs(fresh.Find(s.Name)) })
}
