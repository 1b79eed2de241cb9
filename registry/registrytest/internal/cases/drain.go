package cases

import (
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

// Register leaves a drained node out of service. Deregister removes it for good.
func drainCases() []Case {
	return []Case{{
		Name:  "drain/out",
		Rule:  "a node that is taken out of service isn't found any more, and afterwards it is found as it was",
		Needs: needs(HookDrain),
		Body:  drainedIsNotFound,
	}, {
		Name:  "drain/register",
		Rule:  "Register of a node that is out of service returns nil and leaves it out, and what is new of it is found afterwards",
		Needs: needs(HookDrain),
		Waits: true,
		Body:  drainedStaysOut,
	}, {
		Name:  "drain/deregister",
		Rule:  "a node that is deregistered while it is out of service stays away afterwards",
		Needs: needs(HookDrain),
		Waits: true,
		Body:  drainedIsDeregistered,
	}}
}

func drainedIsNotFound(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s)
	reader := p.Observer()
	follower := reader.Follow(s.Name)
	restore := e.Drain(s, "n1")
	for _, who := range []*harness.Process{p, reader} {
		who.WillFind(s.Name, record.Only(s, "n2"))
	}
	follower.AwaitNode("delete", s, "n1")
	restore()
	for _, who := range []*harness.Process{p, reader} {
		who.WillFind(s.Name, s)
	}
	follower.AwaitNode(harness.Present, s, "n1")
}

// drained is node n1 of a service, registered by p and then drained.
type drained struct {
	p, reader *harness.Process
	s         *registry.Service
	differs   func() string // says how what reader finds differs from the service without the node
	restore   func()
}

func drain(e *harness.Env) drained {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s)
	restore := e.Drain(s, "n1")
	in, reader := record.Only(s, "n2"), p.Observer()
	reader.WillFind(s.Name, in)
	return drained{p, reader, s, func() string { return reader.Differs(s.Name, in) }, restore}
}

func drainedStaysOut(e *harness.Env) {
	d := drain(e)
	stays := func(s *registry.Service) {
		d.p.Register(s)
		e.Consistently(e.Backend.TTL/2, e.Backend.TTL/20, "after Register", d.differs)
	}
	stays(d.s)
	moved := record.With(d.s, func(m *registry.Service) { m.Nodes[0].Address = "10.0.0.9:99" })
	stays(moved)
	d.restore()
	d.reader.WillFind(d.s.Name, moved)
}

func drainedIsDeregistered(e *harness.Env) {
	d := drain(e)
	d.p.Deregister(record.Only(d.s, "n1"))
	d.restore()
	e.Consistently(e.Backend.TTL/2, e.Backend.TTL/20, "after Deregister", d.differs)
	d.p.Register(d.s)
	d.reader.WillFind(d.s.Name, d.s)
}
