package registrytest

import (
	"time"

	"go-micro.dev/v4/registry"
)

func registerCases() []Case {
	return []Case{{
		Name: "register/all-fields",
		Rule: "GetService returns everything that was registered: metadata of service, node and endpoint, and nested values",
		body: registerKeepsAllFields,
	}, {
		Name: "register/at-once",
		Rule: "when Register returns, the same registry's GetService shows the node, and when Deregister returns, it does not",
		body: ownWritesShowAtOnce,
	}, {
		Name: "register/repeated",
		Rule: "registering the same again changes nothing, and is no event",
		body: repeatChangesNothing,
	}, {
		Name: "register/several-nodes",
		Rule: "one Register takes all nodes of the service, and later ones add to them",
		body: registerSeveralNodes,
	}, {
		Name: "register/versions",
		Rule: "GetService returns one Service per version, each with its own nodes and fields",
		body: versionsStayApart,
	}, {
		Name:  "register/other-process",
		Rule:  "what one process registers and deregisters, the others find and lose",
		Needs: needs(Shared),
		body:  othersSeeRegistration,
	}, {
		Name:  "register/nodes-of-many",
		Rule:  "nodes that several processes register for one version come as one Service",
		Needs: needs(Shared),
		body:  nodesOfManyProcesses,
	}, {
		Name: "register/argument",
		Rule: "Register and Deregister leave the Service that they are given as it is",
		body: argumentsStayAsTheyAre,
	}, {
		Name: "register/ttl-zero",
		Rule: "a TTL of zero, or none at all, is legal and means that the node stays while its process lives",
		body: noTTL,
	}, {
		Name:  "register/ttl-fraction",
		Rule:  "a TTL that is not whole seconds is legal, and the node does not expire before it",
		body:  fractionalTTL,
		waits: true,
	}}
}

func registerKeepsAllFields(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1.2.3-rc1", "n1")
	p.register(s)
	p.finds(s.Name, s)
}

func ownWritesShowAtOnce(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "stays")
	p.register(s)
	for range 20 {
		more := sample(s.Name, "1", "stays", "comes")
		p.register(only(more, "comes"))
		p.finds(s.Name, more)
		p.deregister(only(more, "comes"))
		p.finds(s.Name, s)
	}
}

func repeatChangesNothing(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s)
	events := p.watch(registry.WatchService(s.Name))
	for range 5 {
		p.register(s)
	}
	p.finds(s.Name, s)
	last := sample(s.Name, "2", "last")
	p.register(last)
	events.awaitNode(present, last, "last")
	// One event may be the past catching up with a new watcher; five are heartbeats.
	if n := events.nodes(present)["n1"]; n > 1 {
		e.failf("five unchanged Registers arrived as %d events\n%s", n, events.log())
	}
}

func registerSeveralNodes(e *env) {
	p := e.open()
	all := sample(e.name("greeter"), "1", "n1", "n2", "n3", "n4")
	p.register(with(all, func(s *registry.Service) { s.Nodes = s.Nodes[:2] }))
	p.register(with(all, func(s *registry.Service) { s.Nodes = s.Nodes[2:] }))
	p.finds(all.Name, all)
}

func versionsStayApart(e *env) {
	p := e.open()
	v1 := sample(e.name("greeter"), "1", "n1", "n2")
	v2 := with(sample(v1.Name, "2", "n3"), func(s *registry.Service) {
		s.Metadata = map[string]string{"team": "red"}
		s.Endpoints = s.Endpoints[:1]
	})
	none := with(sample(v1.Name, "", "n4"), func(s *registry.Service) { s.Endpoints = nil; s.Metadata = nil })
	p.register(v1)
	p.register(v2)
	p.register(none)
	p.finds(v1.Name, v1, v2, none)
}

func othersSeeRegistration(e *env) {
	p, q := e.open(), e.open()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s)
	q.willFind(s.Name, s)
	p.deregister(s)
	q.willFind(s.Name)
}

func nodesOfManyProcesses(e *env) {
	all := sample(e.name("greeter"), "1", "n1", "n2", "n3")
	reader := e.open()
	for _, n := range all.Nodes {
		e.open().register(only(all, n.Id))
	}
	reader.willFind(all.Name, all)
}

func argumentsStayAsTheyAre(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	want := text(s)
	p.register(s)
	if got := text(s); got != want {
		e.failf("Register made\n%sof\n%s", got, want)
	}
	gone := bare(s)
	want = text(gone)
	if err := p.Deregister(gone); err != nil {
		e.fatalf("Deregister: %v", err)
	}
	if got := text(gone); got != want {
		e.failf("Deregister made\n%sof\n%s", got, want)
	}
}

func noTTL(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "zero", "none")
	p.register(only(s, "zero"), 0)
	if err := p.Register(only(s, "none")); err != nil {
		e.fatalf("Register without a TTL: %v", err)
	}
	p.finds(s.Name, s)
	p.deregister(only(s, "zero"))
	p.finds(s.Name, only(s, "none"))
	p.deregister(only(s, "none"))
	p.finds(s.Name)
}

func fractionalTTL(e *env) {
	p := e.open()
	ttl := e.backend.TTL + 900*time.Millisecond
	s := sample(e.name("greeter"), "1", "n1", "short")
	p.register(only(s, "short"), 700*time.Microsecond) // legal, however soon it goes
	p.register(only(s, "n1"), ttl)
	registered := time.Now()
	e.holds(ttl*95/100, ttl/30, "before the TTL is over", func() string {
		found := p.find(s.Name)
		if time.Since(registered) > ttl*98/100 {
			return "" // the machine was too slow to tell
		}
		for _, f := range found {
			if f != nil && hasNode(f, "n1") {
				return ""
			}
		}
		return "the node is gone after " + time.Since(registered).String()
	})
}
