package cases

import (
	"errors"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func deregisterCases() []Case {
	return []Case{{
		Name: "deregister/bare-node",
		Rule: "Deregister needs no more than name, version, and each node's id and address",
		Body: deregisterBareNode,
	}, {
		Name: "deregister/last",
		Rule: "after the last node is deregistered, GetService returns ErrNotFound and ListServices nothing",
		Body: deregisterLast,
	}, {
		Name: "deregister/one-of-several",
		Rule: "Deregister of one node leaves the others",
		Body: deregisterOneOfSeveral,
	}, {
		Name: "deregister/several",
		Rule: "one Deregister takes all nodes of the service",
		Body: deregisterSeveral,
	}, {
		Name: "deregister/one-version",
		Rule: "Deregister of one version leaves the others",
		Body: deregisterOneVersion,
	}, {
		Name: "deregister/unknown",
		Rule: "Deregister of what is not registered is no error, and may be repeated",
		Body: deregisterUnknown,
	}, {
		Name: "deregister/then-register",
		Rule: "a node can be registered again right after Deregister, as a failing RegisterCheck does within one tick",
		Body: deregisterThenRegister,
	}, {
		Name:  "deregister/by-another",
		Rule:  "a process that never registered the node, such as a tool, can deregister it once its owner is gone",
		Needs: needs(Shared, HookKill),
		Body:  deregisterByTool,
	}}
}

func deregisterBareNode(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s)
	p.Deregister(s)
	p.Finds(s.Name)
}

func deregisterLast(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s)
	p.Deregister(s)
	found, err := p.Registry.GetService(s.Name)
	if !errors.Is(err, registry.ErrNotFound) {
		e.Failf("GetService returned %v and the error %v", found, err)
	}
	p.Lists()
}

func deregisterOneOfSeveral(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s)
	p.Deregister(record.Only(s, "n1"))
	p.Finds(s.Name, record.Only(s, "n2"))
}

func deregisterSeveral(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2", "n3")
	p.Register(s)
	p.Deregister(record.With(s, func(c *registry.Service) { c.Nodes = c.Nodes[:2] }))
	p.Finds(s.Name, record.Only(s, "n3"))
}

func deregisterOneVersion(e *harness.Env) {
	p := e.Open()
	v1 := record.Sample(e.Name("greeter"), "1", "n1")
	v2 := record.Sample(v1.Name, "2", "n2")
	p.Register(v1)
	p.Register(v2)
	p.Deregister(v1)
	p.Finds(v1.Name, v2)
}

func deregisterUnknown(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Deregister(s)
	p.Register(record.Only(s, "n1"))
	p.Deregister(record.Only(s, "n2"))
	p.Finds(s.Name, record.Only(s, "n1"))
	p.Deregister(s)
	p.Deregister(s)
	p.Finds(s.Name)
}

func deregisterThenRegister(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s)
	for range 50 {
		p.Deregister(s)
		p.Register(s)
		p.Finds(s.Name, s)
	}
	if !e.Backend.Alone {
		e.Open().WillFind(s.Name, s)
	}
}

func deregisterByTool(e *harness.Env) {
	p, tool := e.Open(), e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s)
	tool.WillFind(s.Name, s)
	p.Kill()
	tool.Deregister(s)
	tool.Finds(s.Name)
}
