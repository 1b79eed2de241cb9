package registrytest

import (
	"fmt"

	"go-micro.dev/v4/registry"
)

func watchScopeCases() []Case {
	return []Case{{
		Name: "watch/one-service",
		Rule: "a watcher of one service sees exactly that name: watching a-b shows neither a/b nor a-b-c",
		body: watchOneService,
	}, {
		Name: "watch/all-services",
		Rule: "a watcher without a name sees every service under its own name",
		body: watchAllServices,
	}, {
		Name: "watch/before-first",
		Rule: "a service may be watched before it exists, and after it is gone",
		body: watchBeforeFirst,
	}, {
		Name:  "watch/since-lookup",
		Rule:  "what happens between a lookup and the watch that follows it arrives, deletes too: Go Micro's cache looks up first and watches up to 10 s later",
		Needs: needs(SinceLookup),
		body:  watchSinceLookup,
	}, {
		Name:  "watch/since-first-lookup",
		Rule:  "a later lookup by somebody else does not shorten what a watcher is owed: several caches may share a registry",
		Needs: needs(SinceLookup),
		body:  watchSinceFirstLookup,
	}, {
		Name:  "watch/since-lookup-elsewhere",
		Rule:  "what other processes do between a lookup and the watch that follows it arrives as well",
		Needs: needs(SinceLookup, Shared),
		body:  watchSinceLookupElsewhere,
	}}
}

func watchOneService(e *env) {
	p := e.open()
	watched := sample(e.name("a-b"), "1", "n1")
	others := []string{"a/b", "a", "a-b-c", "a-b/c", "a-bc", "other"}
	events := p.watch(registry.WatchService(watched.Name))
	for i, other := range others {
		p.register(sample(e.name(other), "1", fmt.Sprintf("other%d", i)))
	}
	p.register(watched)
	events.awaitNode(present, watched, "n1")
	for i, other := range others {
		p.deregister(sample(e.name(other), "1", fmt.Sprintf("other%d", i)))
	}
	p.deregister(watched)
	events.awaitNode("delete", watched, "n1")
	for _, r := range events.got() {
		if r.Service.Name != watched.Name {
			e.failf("the watcher of %s got %s of %s", watched.Name, r.Action, r.Service.Name)
		}
	}
}

func watchAllServices(e *env) {
	p := e.open()
	events := p.watch()
	for i, suffix := range []string{"a", "a/b", "a-b", "c"} {
		s := sample(e.name(suffix), fmt.Sprint(i), "n1")
		p.register(s)
		events.awaitNode(present, s, "n1")
		p.deregister(s)
		events.awaitNode("delete", s, "n1")
	}
}

func watchBeforeFirst(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	events := p.watch(registry.WatchService(s.Name))
	for range 3 {
		p.register(s)
		events.awaitNode(present, s, "n1")
		p.deregister(s)
		events.awaitNode("delete", s, "n1")
		p.finds(s.Name)
	}
}

func watchSinceLookup(e *env) {
	p := e.open()
	for i := range 20 {
		s := sample(e.name(fmt.Sprintf("greeter%d", i)), "1", "stays", "goes", "comes")
		p.register(with(s, func(c *registry.Service) { c.Nodes = c.Nodes[:2] }))
		events := lookUpThenWatch(p, s.Name, func() {
			p.deregister(only(s, "goes"))
			p.register(only(s, "comes"))
		})
		events.awaitNode("delete", s, "goes")
		e.eventually("lookup and results together", func() string { return events.folded(p.find(s.Name)) })
	}
}

func watchSinceFirstLookup(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "stays", "goes")
	p.register(s)
	events := lookUpThenWatch(p, s.Name, func() {
		p.deregister(only(s, "goes"))
		p.find(s.Name)
		p.watch(registry.WatchService(s.Name)).w.Stop()
		p.find(s.Name)
	})
	events.awaitNode("delete", s, "goes")
}

func watchSinceLookupElsewhere(e *env) {
	reader, p := e.open(), e.open()
	for i := range 5 {
		s := sample(e.name(fmt.Sprintf("greeter%d", i)), "1", "goes")
		p.register(s)
		reader.willFind(s.Name, s)
		events := lookUpThenWatch(reader, s.Name, func() { p.deregister(s) })
		events.awaitNode("delete", s, "goes")
	}
}

// lookUpThenWatch does what Go Micro's cache does, with something between.
func lookUpThenWatch(p *process, name string, between func()) *stream {
	base := p.find(name)
	between()
	events := p.watchUnread(registry.WatchService(name))
	events.view.reset(base)
	events.read()
	return events
}
