package registrytest

import (
	"errors"

	"go-micro.dev/v4/registry"
)

func deregisterCases() []Case {
	return []Case{{
		Name: "deregister/bare-node",
		Rule: "Deregister needs no more than name, version, and each node's id and address",
		body: deregisterBareNode,
	}, {
		Name: "deregister/last",
		Rule: "after the last node is deregistered, GetService returns ErrNotFound and ListServices nothing",
		body: deregisterLast,
	}, {
		Name: "deregister/one-of-several",
		Rule: "Deregister of one node leaves the others",
		body: deregisterOneOfSeveral,
	}, {
		Name: "deregister/several",
		Rule: "one Deregister takes all nodes of the service",
		body: deregisterSeveral,
	}, {
		Name: "deregister/one-version",
		Rule: "Deregister of one version leaves the others",
		body: deregisterOneVersion,
	}, {
		Name: "deregister/unknown",
		Rule: "Deregister of what is not registered is no error, and may be repeated",
		body: deregisterUnknown,
	}, {
		Name: "deregister/then-register",
		Rule: "a node can be registered again right after Deregister, as a failing RegisterCheck does within one tick",
		body: deregisterThenRegister,
	}, {
		Name:  "deregister/by-another",
		Rule:  "a process that never registered the node, such as a tool, can deregister it once its owner is gone",
		Needs: needs(Shared, HookKill),
		body:  deregisterByTool,
	}}
}

func deregisterBareNode(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s)
	p.deregister(s)
	p.finds(s.Name)
}

func deregisterLast(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s)
	p.deregister(s)
	found, err := p.GetService(s.Name)
	if !errors.Is(err, registry.ErrNotFound) {
		e.failf("GetService returned %v and the error %v", found, err)
	}
	if wrong := differs(p.list(), nil); wrong != "" {
		e.failf("ListServices: %s", wrong)
	}
}

func deregisterOneOfSeveral(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	p.register(s)
	p.deregister(only(s, "n1"))
	p.finds(s.Name, only(s, "n2"))
}

func deregisterSeveral(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1", "n2", "n3")
	p.register(s)
	p.deregister(with(s, func(c *registry.Service) { c.Nodes = c.Nodes[:2] }))
	p.finds(s.Name, only(s, "n3"))
}

func deregisterOneVersion(e *env) {
	p := e.open()
	v1 := sample(e.name("greeter"), "1", "n1")
	v2 := sample(v1.Name, "2", "n2")
	p.register(v1)
	p.register(v2)
	p.deregister(v1)
	p.finds(v1.Name, v2)
}

func deregisterUnknown(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	p.deregister(s)
	p.register(only(s, "n1"))
	p.deregister(only(s, "n2"))
	p.finds(s.Name, only(s, "n1"))
	p.deregister(s)
	p.deregister(s)
	p.finds(s.Name)
}

func deregisterThenRegister(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s)
	for range 50 {
		p.deregister(s)
		p.register(s)
		p.finds(s.Name, s)
	}
	if e.backend.lacks(needs(Shared)) == "" {
		e.open().willFind(s.Name, s)
	}
}

func deregisterByTool(e *env) {
	p, tool := e.open(), e.open()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s)
	tool.willFind(s.Name, s)
	p.kill()
	tool.deregister(s)
	tool.finds(s.Name)
}
