package cases

import (
	"fmt"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func watchCases() []Case {
	return []Case{{
		Name: "watch/create",
		Rule: "a registration arrives as create or update, with name, version, address and metadata",
		Body: watchSeesRegister,
	}, {
		Name: "watch/delete",
		Rule: "a deregistration arrives as delete, with the name and the exact version, and with the node's id",
		Body: watchSeesDeregister,
	}, {
		Name:  "watch/actions",
		Rule:  "a new node arrives as create, a changed one as update, a returning one as create",
		Needs: needs(ExactActions, WholeRecord),
		Body:  watchTellsActionsApart,
	}, {
		Name:  "watch/changes",
		Rule:  "a change of any field arrives, with the changed record",
		Needs: needs(WholeRecord),
		Body:  watchSeesEveryChange,
	}, {
		Name:  "watch/whole-deletes",
		Rule:  "a delete carries the record as it was registered, though Deregister was told only the id",
		Needs: needs(WholeDeletes),
		Body:  deletesAreWhole,
	}, {
		Name:  "watch/version-move",
		Rule:  "a node that moves to another version arrives as a delete of the old version before the new one; else caches keep a ghost",
		Needs: needs(WholeRecord),
		Body:  versionMoveDeletesFirst,
	}, {
		Name:  "watch/other-process",
		Rule:  "a watcher sees what other processes register, change and deregister",
		Needs: needs(Shared),
		Body:  watchSeesOthers,
	}, {
		Name: "watch/two-watchers",
		Rule: "every watcher sees everything, and one that is stopped takes nothing from the others",
		Body: twoWatchersSeeAll,
	}, {
		Name: "watch/shape",
		Rule: "every result has an action of create, update or delete, and a service with a name and at least one node, none of them nil",
		Body: resultsHaveShape,
	}}
}

func watchSeesRegister(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1.0", "n1")
	events := p.Watch(registry.WatchService(s.Name))
	p.Register(s)
	r := events.AwaitNode(harness.Present, s, "n1")
	if got, want := record.Text(r.Service), record.Text(s); got != want {
		e.Failf("the result carries\n%snot\n%s", got, want)
	}
}

func watchSeesDeregister(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1.0", "n1", "n2")
	events := p.Watch(registry.WatchService(s.Name))
	p.Register(record.Only(s, "n1"))
	events.AwaitNode(harness.Present, s, "n1")
	p.Register(record.Only(s, "n2"))
	events.AwaitNode(harness.Present, s, "n2")
	p.Deregister(record.Only(s, "n1"))
	if r := events.AwaitNode("delete", s, "n1"); record.HasNode(r.Service, "n2") {
		e.Failf("the delete of n1 also names n2")
	}
	p.Deregister(record.Only(s, "n2"))
	events.AwaitNode("delete", s, "n2")
}

func watchTellsActionsApart(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	events := p.Watch(registry.WatchService(s.Name))
	for i := range 3 {
		p.Register(s)
		events.AwaitNode("create", s, "n1")
		moved := record.With(s, func(c *registry.Service) { c.Nodes[0].Address = fmt.Sprintf("10.3.0.%d:1", i) })
		p.Register(moved)
		events.AwaitNode("update", s, "n1")
		p.Deregister(s)
		events.AwaitNode("delete", s, "n1")
	}
}

func watchSeesEveryChange(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	events := p.Watch(registry.WatchService(s.Name))
	p.Register(s)
	events.AwaitNode(harness.Present, s, "n1")
	for _, edit := range []func(*registry.Service){
		func(c *registry.Service) { c.Nodes[0].Address = "10.4.4.4:4" },
		func(c *registry.Service) { c.Nodes[0].Metadata["zone"] = "moved" },
		func(c *registry.Service) { c.Metadata["team"] = "red" },
		func(c *registry.Service) { c.Endpoints = c.Endpoints[:1] },
		func(c *registry.Service) { c.Endpoints[0].Request.Values = nil },
	} {
		edit(s)
		p.Register(s)
		want := record.Text(s)
		events.Await("the changed record\n"+want, func(r *registry.Result) bool {
			return harness.SameAction(harness.Present, r.Action) && record.Text(r.Service) == want
		})
	}
}

func deletesAreWhole(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	events := p.Watch(registry.WatchService(s.Name))
	p.Register(s)
	events.AwaitNode(harness.Present, s, "n1")
	p.Deregister(s)
	r := events.AwaitNode("delete", s, "n1")
	if got, want := record.Text(r.Service), record.Text(s); got != want {
		e.Failf("the delete carries\n%snot\n%s", got, want)
	}
}

func versionMoveDeletesFirst(e *harness.Env) {
	p := e.Open()
	v1 := record.Sample(e.Name("greeter"), "1", "n1")
	v2 := record.With(v1, func(s *registry.Service) { s.Version = "2" })
	events := p.Watch(registry.WatchService(v1.Name))
	p.Register(v1)
	events.AwaitNode(harness.Present, v1, "n1")
	for range 3 {
		p.Register(v2)
		events.AwaitNode("delete", v1, "n1")
		events.AwaitNode(harness.Present, v2, "n1")
		v1, v2 = v2, v1
	}
}

func watchSeesOthers(e *harness.Env) {
	p, reader := e.Open(), e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	events := reader.Watch(registry.WatchService(s.Name))
	for range 5 {
		p.Register(s)
		events.AwaitNode(harness.Present, s, "n1")
		p.Deregister(s)
		events.AwaitNode("delete", s, "n1")
	}
}

func twoWatchersSeeAll(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	left := []*harness.Stream{p.Watch(registry.WatchService(s.Name)), p.Watch(registry.WatchService(s.Name)), p.Watch()}
	for len(left) > 0 {
		p.Register(s)
		for _, events := range left {
			events.AwaitNode(harness.Present, s, "n1")
		}
		p.Deregister(s)
		for _, events := range left {
			events.AwaitNode("delete", s, "n1")
		}
		left[0].Stop()
		_ = left[0].AwaitEnd("Stop")
		left = left[1:]
	}
}

func resultsHaveShape(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	events := p.Watch(registry.WatchService(s.Name))
	p.Register(record.Only(s, "n1"))
	events.AwaitNode(harness.Present, s, "n1")
	p.Register(record.Only(s, "n2"))
	events.AwaitNode(harness.Present, s, "n2")
	p.Deregister(record.Only(s, "n1"))
	events.AwaitNode("delete", s, "n1")
	p.Deregister(record.Only(s, "n2"))
	events.AwaitNode("delete", s, "n2")
	for _, r := range events.Results() {
		known := r.Action == "create" || r.Action == "update" || r.Action == "delete"
		if !known || r.Service.Name != s.Name || len(r.Service.Nodes) == 0 {
			e.Failf("a result of %q: %s", r.Action, record.Text(r.Service))
		}
		for _, n := range r.Service.Nodes {
			if n == nil {
				e.Failf("a result with a nil node: %s", record.Text(r.Service))
			}
		}
	}
}
