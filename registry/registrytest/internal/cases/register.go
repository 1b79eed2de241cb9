package cases

import (
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func registerCases() []Case {
	return []Case{{
		Name: "register/all-fields",
		Rule: "GetService returns everything that was registered: metadata of service, node and endpoint, and nested values",
		Body: registerKeepsAllFields,
	}, {
		Name: "register/at-once",
		Rule: "when Register returns, the same registry's GetService shows the node, and when Deregister returns, it does not",
		Body: ownWritesShowAtOnce,
	}, {
		Name: "register/repeated",
		Rule: "registering the same again changes nothing, and is no event",
		Body: repeatChangesNothing,
	}, {
		Name: "register/several-nodes",
		Rule: "one Register takes all nodes of the service, and later ones add to them",
		Body: registerSeveralNodes,
	}, {
		Name: "register/versions",
		Rule: "GetService returns one Service per version, each with its own nodes and fields",
		Body: versionsStayApart,
	}, {
		Name:  "register/other-process",
		Rule:  "what one process registers and deregisters, the others find and lose",
		Needs: needs(Shared),
		Body:  othersSeeRegistration,
	}, {
		Name:  "register/nodes-of-many",
		Rule:  "nodes that several processes register for one version come as one Service",
		Needs: needs(Shared),
		Body:  nodesOfManyProcesses,
	}, {
		Name: "register/argument",
		Rule: "Register and Deregister leave the Service that they are given as it is",
		Body: argumentsStayAsTheyAre,
	}, {
		Name: "register/ttl-zero",
		Rule: "a TTL of zero, or none at all, is legal and means that the node stays while its process lives",
		Body: noTTL,
	}, {
		Name:  "register/ttl-fraction",
		Rule:  "a TTL that is not whole seconds is legal, and the node does not expire before it",
		Body:  fractionalTTL,
		Waits: true,
	}}
}

func registerKeepsAllFields(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1.2.3-rc1", "n1")
	p.Register(s)
	p.Finds(s.Name, s)
}

func ownWritesShowAtOnce(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "stays")
	p.Register(s)
	for range 20 {
		more := record.Sample(s.Name, "1", "stays", "comes")
		p.Register(record.Only(more, "comes"))
		p.Finds(s.Name, more)
		p.Deregister(record.Only(more, "comes"))
		p.Finds(s.Name, s)
	}
}

func repeatChangesNothing(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s)
	events := p.Watch(registry.WatchService(s.Name))
	for range 5 {
		p.Register(s)
	}
	p.Finds(s.Name, s)
	last := record.Sample(s.Name, "2", "last")
	p.Register(last)
	events.AwaitNode(harness.Present, last, "last")
	// One event may be the past catching up with a new watcher; five are heartbeats.
	if n := events.Nodes(harness.Present)["n1"]; n > 1 {
		e.Failf("five unchanged Registers arrived as %d events\n%s", n, events.Log())
	}
}

func registerSeveralNodes(e *harness.Env) {
	p := e.Open()
	all := record.Sample(e.Name("greeter"), "1", "n1", "n2", "n3", "n4")
	p.Register(record.With(all, func(s *registry.Service) { s.Nodes = s.Nodes[:2] }))
	p.Register(record.With(all, func(s *registry.Service) { s.Nodes = s.Nodes[2:] }))
	p.Finds(all.Name, all)
}

func versionsStayApart(e *harness.Env) {
	p := e.Open()
	v1 := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	v2 := record.With(record.Sample(v1.Name, "2", "n3"), func(s *registry.Service) {
		s.Metadata = map[string]string{"team": "red"}
		s.Endpoints = s.Endpoints[:1]
	})
	none := record.With(record.Sample(v1.Name, "", "n4"), func(s *registry.Service) {
		s.Endpoints = nil
		s.Metadata = nil
	})
	p.Register(v1)
	p.Register(v2)
	p.Register(none)
	p.Finds(v1.Name, v1, v2, none)
}

func othersSeeRegistration(e *harness.Env) {
	p, q := e.Open(), e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s)
	q.WillFind(s.Name, s)
	p.Deregister(s)
	q.WillFind(s.Name)
}

func nodesOfManyProcesses(e *harness.Env) {
	all := record.Sample(e.Name("greeter"), "1", "n1", "n2", "n3")
	reader := e.Open()
	for _, n := range all.Nodes {
		e.Open().Register(record.Only(all, n.Id))
	}
	reader.WillFind(all.Name, all)
}

func argumentsStayAsTheyAre(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	want := record.Text(s)
	p.Register(s)
	if got := record.Text(s); got != want {
		e.Failf("Register made\n%sof\n%s", got, want)
	}
	gone := record.Bare(s)
	want = record.Text(gone)
	if err := p.Registry.Deregister(gone); err != nil {
		e.Fatalf("Deregister: %v", err)
	}
	if got := record.Text(gone); got != want {
		e.Failf("Deregister made\n%sof\n%s", got, want)
	}
}

func noTTL(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "zero", "none")
	p.Register(record.Only(s, "zero"), 0)
	if err := p.Registry.Register(record.Only(s, "none")); err != nil {
		e.Fatalf("Register without a TTL: %v", err)
	}
	p.Finds(s.Name, s)
	p.Deregister(record.Only(s, "zero"))
	p.Finds(s.Name, record.Only(s, "none"))
	p.Deregister(record.Only(s, "none"))
	p.Finds(s.Name)
}

func fractionalTTL(e *harness.Env) {
	p := e.Open()
	ttl := e.Backend.TTL + 900*time.Millisecond
	s := record.Sample(e.Name("greeter"), "1", "n1", "short")
	p.Register(record.Only(s, "short"), 700*time.Microsecond) // legal, however soon it goes
	p.Register(record.Only(s, "n1"), ttl)
	registered := time.Now()
	e.Consistently(ttl*95/100, ttl/30, "before the TTL is over", func() string {
		found := p.Find(s.Name)
		if time.Since(registered) > ttl*98/100 {
			return "" // the machine was too slow to tell
		}
		for _, f := range found {
			if f != nil && record.HasNode(f, "n1") {
				return ""
			}
		}
		return "the node is gone after " + time.Since(registered).String()
	})
}

func changeCases() []Case {
	return []Case{
		change("node-address", "a node's address", func(s *registry.Service) { s.Nodes[0].Address = "10.9.9.9:1" }),
		change("node-metadata", "a node's metadata", func(s *registry.Service) {
			s.Nodes[0].Metadata = map[string]string{"zone": "moved"}
		}),
		change("service-metadata", "the service's metadata", func(s *registry.Service) {
			s.Metadata = map[string]string{"team": "red"}
		}),
		change("endpoints", "the endpoints", func(s *registry.Service) {
			s.Endpoints = s.Endpoints[1:]
			s.Endpoints[0].Response.Values = []*registry.Value{{Name: "added", Type: "bool"}}
		}),
		change("version", "the version: the node leaves the old one", func(s *registry.Service) { s.Version = "2" }),
		{
			Name:  "change/ttl",
			Rule:  "Register with another TTL makes that the node's TTL",
			Needs: needs(WholeRecord, Shared, HookKill),
			Body:  changeTTL,
			Waits: true,
		},
	}
}

// change makes a case: after registering once and again changed, only the changed record is found and listed.
func change(name, what string, edit func(*registry.Service)) Case {
	return Case{
		Name:  "change/" + name,
		Rule:  "Register replaces " + what,
		Needs: needs(WholeRecord),
		Body: func(e *harness.Env) {
			p := e.Open()
			s := record.Sample(e.Name("greeter"), "1", "n1")
			changed := record.With(s, edit)
			p.Register(s)
			p.Finds(s.Name, s)
			p.Register(changed)
			p.Finds(s.Name, changed)
			p.Lists(changed)
			p.Register(s)
			p.Finds(s.Name, s)
		},
	}
}

func changeTTL(e *harness.Env) {
	p, reader := e.Open(), e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s, 10*time.Minute)
	p.Register(s, e.Backend.TTL)
	p.Kill()
	e.EventuallyWithin(e.Backend.Expiry(), "a node whose TTL was shortened expires", func() string {
		return noNodes(reader.Find(s.Name))
	})
}
