package cases

import (
	"fmt"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func watchScopeCases() []Case {
	return []Case{{
		Name: "watch/one-service",
		Rule: "a watcher of one service sees exactly that name: watching a-b shows neither a/b nor a-b-c",
		Body: watchOneService,
	}, {
		Name: "watch/all-services",
		Rule: "a watcher without a name sees every service under its own name",
		Body: watchAllServices,
	}, {
		Name: "watch/before-first",
		Rule: "a service may be watched before it exists, and after it is gone",
		Body: watchBeforeFirst,
	}, {
		Name:  "watch/since-lookup",
		Rule:  "what happens between a lookup and the watch that follows it arrives, deletes too: Go Micro's cache looks up first and watches up to 10 s later",
		Needs: needs(SinceLookup),
		Body:  watchSinceLookup,
	}, {
		Name:  "watch/since-first-lookup",
		Rule:  "a later lookup by somebody else does not shorten what a watcher is owed: several caches may share a registry",
		Needs: needs(SinceLookup),
		Body:  watchSinceFirstLookup,
	}, {
		Name:  "watch/since-lookup-elsewhere",
		Rule:  "what other processes do between a lookup and the watch that follows it arrives as well",
		Needs: needs(SinceLookup, Shared),
		Body:  watchSinceLookupElsewhere,
	}}
}

func watchOneService(e *harness.Env) {
	p := e.Open()
	watched := record.Sample(e.Name("a-b"), "1", "n1")
	others := []string{"a/b", "a", "a-b-c", "a-b/c", "a-bc", "other"}
	events := p.Watch(registry.WatchService(watched.Name))
	for i, other := range others {
		p.Register(record.Sample(e.Name(other), "1", fmt.Sprintf("other%d", i)))
	}
	p.Register(watched)
	events.AwaitNode(harness.Present, watched, "n1")
	for i, other := range others {
		p.Deregister(record.Sample(e.Name(other), "1", fmt.Sprintf("other%d", i)))
	}
	p.Deregister(watched)
	events.AwaitNode("delete", watched, "n1")
	for _, r := range events.Results() {
		if r.Service.Name != watched.Name {
			e.Failf("the watcher of %s got %s of %s", watched.Name, r.Action, r.Service.Name)
		}
	}
}

func watchAllServices(e *harness.Env) {
	p := e.Open()
	events := p.Watch()
	for i, suffix := range []string{"a", "a/b", "a-b", "c"} {
		s := record.Sample(e.Name(suffix), fmt.Sprint(i), "n1")
		comeAndGo(p, events, s)
	}
}

func watchBeforeFirst(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	events := p.Watch(registry.WatchService(s.Name))
	for range 3 {
		comeAndGo(p, events, s)
		p.Finds(s.Name)
	}
}

func watchSinceLookup(e *harness.Env) {
	p := e.Open()
	for i := range 20 {
		s := record.Sample(e.Name(fmt.Sprintf("greeter%d", i)), "1", "stays", "goes", "comes")
		p.Register(record.With(s, func(c *registry.Service) { c.Nodes = c.Nodes[:2] }))
		events := p.Follow(s.Name, func() {
			p.Deregister(record.Only(s, "goes"))
			p.Register(record.Only(s, "comes"))
		})
		events.AwaitNode("delete", s, "goes")
		e.Eventually("lookup and results together", func() string { return events.Differs(p.Find(s.Name)) })
	}
}

func watchSinceFirstLookup(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "stays", "goes")
	p.Register(s)
	events := p.Follow(s.Name, func() {
		p.Deregister(record.Only(s, "goes"))
		p.Find(s.Name)
		p.Watch(registry.WatchService(s.Name)).Stop()
		p.Find(s.Name)
	})
	events.AwaitNode("delete", s, "goes")
}

func watchSinceLookupElsewhere(e *harness.Env) {
	reader, p := e.Open(), e.Open()
	for i := range 5 {
		s := record.Sample(e.Name(fmt.Sprintf("greeter%d", i)), "1", "goes")
		p.Register(s)
		reader.WillFind(s.Name, s)
		events := reader.Follow(s.Name, func() { p.Deregister(s) })
		events.AwaitNode("delete", s, "goes")
	}
}
