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

// carries demands that a result has the whole record s.
func carries(e *harness.Env, what string, r *registry.Result, s *registry.Service) {
	if got, want := record.Text(r.Service), record.Text(s); got != want {
		e.Failf("the %s carries\n%snot\n%s", what, got, want)
	}
}

// comeAndGo registers the nodes of s one by one and awaits each, and then deregisters them so. It returns the deletes.
func comeAndGo(p *harness.Process, events *harness.Stream, s *registry.Service) []*registry.Result {
	for _, n := range s.Nodes {
		p.Register(record.Only(s, n.Id))
		events.AwaitNode(harness.Present, s, n.Id)
	}
	var deletes []*registry.Result
	for _, n := range s.Nodes {
		p.Deregister(record.Only(s, n.Id))
		deletes = append(deletes, events.AwaitNode("delete", s, n.Id))
	}
	return deletes
}

func watchSeesRegister(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1.0", "n1")
	events := p.Watch(registry.WatchService(s.Name))
	p.Register(s)
	carries(e, "result", events.AwaitNode(harness.Present, s, "n1"), s)
}

func watchSeesDeregister(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1.0", "n1", "n2")
	events := p.Watch(registry.WatchService(s.Name))
	if deletes := comeAndGo(p, events, s); record.HasNode(deletes[0].Service, "n2") {
		e.Failf("the delete of n1 also names n2")
	}
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
	carries(e, "delete", events.AwaitNode("delete", s, "n1"), s)
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
		comeAndGo(p, events, s)
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
	comeAndGo(p, events, s)
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
