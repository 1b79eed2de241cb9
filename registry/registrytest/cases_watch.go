package registrytest

import (
	"fmt"

	"go-micro.dev/v4/registry"
)

func watchCases() []Case {
	return []Case{{
		Name: "watch/create",
		Rule: "a registration arrives as create or update, with name, version, address and metadata",
		body: watchSeesRegister,
	}, {
		Name: "watch/delete",
		Rule: "a deregistration arrives as delete, with the name and the exact version, and with the node's id",
		body: watchSeesDeregister,
	}, {
		Name:  "watch/actions",
		Rule:  "a new node arrives as create, a changed one as update, a returning one as create",
		Needs: needs(ExactActions, WholeRecord),
		body:  watchTellsActionsApart,
	}, {
		Name:  "watch/changes",
		Rule:  "a change of any field arrives, with the changed record",
		Needs: needs(WholeRecord),
		body:  watchSeesEveryChange,
	}, {
		Name:  "watch/whole-deletes",
		Rule:  "a delete carries the record as it was registered, though Deregister was told only the id",
		Needs: needs(WholeDeletes),
		body:  deletesAreWhole,
	}, {
		Name:  "watch/version-move",
		Rule:  "a node that moves to another version arrives as a delete of the old version before the new one; else caches keep a ghost",
		Needs: needs(WholeRecord),
		body:  versionMoveDeletesFirst,
	}, {
		Name:  "watch/other-process",
		Rule:  "a watcher sees what other processes register, change and deregister",
		Needs: needs(Shared),
		body:  watchSeesOthers,
	}, {
		Name: "watch/two-watchers",
		Rule: "every watcher sees everything, and one that is stopped takes nothing from the others",
		body: twoWatchersSeeAll,
	}, {
		Name: "watch/shape",
		Rule: "every result has an action of create, update or delete, and a service with a name and at least one node, none of them nil",
		body: resultsHaveShape,
	}}
}

func watchSeesRegister(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1.0", "n1")
	events := p.watch(registry.WatchService(s.Name))
	p.register(s)
	r := events.awaitNode(present, s, "n1")
	if got, want := text(r.Service), text(s); got != want {
		e.failf("the result carries\n%snot\n%s", got, want)
	}
}

func watchSeesDeregister(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1.0", "n1", "n2")
	events := p.watch(registry.WatchService(s.Name))
	p.register(only(s, "n1"))
	events.awaitNode(present, s, "n1")
	p.register(only(s, "n2"))
	events.awaitNode(present, s, "n2")
	p.deregister(only(s, "n1"))
	if r := events.awaitNode("delete", s, "n1"); hasNode(r.Service, "n2") {
		e.failf("the delete of n1 also names n2")
	}
	p.deregister(only(s, "n2"))
	events.awaitNode("delete", s, "n2")
}

func watchTellsActionsApart(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	events := p.watch(registry.WatchService(s.Name))
	for i := range 3 {
		p.register(s)
		events.awaitNode("create", s, "n1")
		moved := with(s, func(c *registry.Service) { c.Nodes[0].Address = fmt.Sprintf("10.3.0.%d:1", i) })
		p.register(moved)
		events.awaitNode("update", s, "n1")
		p.deregister(s)
		events.awaitNode("delete", s, "n1")
	}
}

func watchSeesEveryChange(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	events := p.watch(registry.WatchService(s.Name))
	p.register(s)
	events.awaitNode(present, s, "n1")
	for _, edit := range []func(*registry.Service){
		func(c *registry.Service) { c.Nodes[0].Address = "10.4.4.4:4" },
		func(c *registry.Service) { c.Nodes[0].Metadata["zone"] = "moved" },
		func(c *registry.Service) { c.Metadata["team"] = "red" },
		func(c *registry.Service) { c.Endpoints = c.Endpoints[:1] },
		func(c *registry.Service) { c.Endpoints[0].Request.Values = nil },
	} {
		edit(s)
		p.register(s)
		want := text(s)
		events.await("the changed record\n"+want, func(r *registry.Result) bool {
			return sameAction(present, r.Action) && text(r.Service) == want
		})
	}
}

func deletesAreWhole(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	events := p.watch(registry.WatchService(s.Name))
	p.register(s)
	events.awaitNode(present, s, "n1")
	p.deregister(s)
	r := events.awaitNode("delete", s, "n1")
	if got, want := text(r.Service), text(s); got != want {
		e.failf("the delete carries\n%snot\n%s", got, want)
	}
}

func versionMoveDeletesFirst(e *env) {
	p := e.open()
	v1 := sample(e.name("greeter"), "1", "n1")
	v2 := with(v1, func(s *registry.Service) { s.Version = "2" })
	events := p.watch(registry.WatchService(v1.Name))
	p.register(v1)
	events.awaitNode(present, v1, "n1")
	for range 3 {
		p.register(v2)
		events.awaitNode("delete", v1, "n1")
		events.awaitNode(present, v2, "n1")
		v1, v2 = v2, v1
	}
}

func watchSeesOthers(e *env) {
	p, reader := e.open(), e.open()
	s := sample(e.name("greeter"), "1", "n1")
	events := reader.watch(registry.WatchService(s.Name))
	for range 5 {
		p.register(s)
		events.awaitNode(present, s, "n1")
		p.deregister(s)
		events.awaitNode("delete", s, "n1")
	}
}

func twoWatchersSeeAll(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	left := []*stream{p.watch(registry.WatchService(s.Name)), p.watch(registry.WatchService(s.Name)), p.watch()}
	for len(left) > 0 {
		p.register(s)
		for _, events := range left {
			events.awaitNode(present, s, "n1")
		}
		p.deregister(s)
		for _, events := range left {
			events.awaitNode("delete", s, "n1")
		}
		left[0].w.Stop()
		_ = left[0].awaitEnd("Stop")
		left = left[1:]
	}
}

func resultsHaveShape(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	events := p.watch(registry.WatchService(s.Name))
	p.register(only(s, "n1"))
	events.awaitNode(present, s, "n1")
	p.register(only(s, "n2"))
	events.awaitNode(present, s, "n2")
	p.deregister(only(s, "n1"))
	events.awaitNode("delete", s, "n1")
	p.deregister(only(s, "n2"))
	events.awaitNode("delete", s, "n2")
	for _, r := range events.got() {
		known := r.Action == "create" || r.Action == "update" || r.Action == "delete"
		if !known || r.Service.Name != s.Name || len(r.Service.Nodes) == 0 {
			e.failf("a result of %q: %s", r.Action, text(r.Service))
		}
		for _, n := range r.Service.Nodes {
			if n == nil {
				e.failf("a result with a nil node: %s", text(r.Service))
			}
		}
	}
}
