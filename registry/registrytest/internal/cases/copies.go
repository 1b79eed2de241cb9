package cases

import (
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func copyCases() []Case {
	return []Case{{
		Name:  "copies/argument",
		Rule:  "what the caller does to a Service after Register changes nothing in the registry",
		Needs: needs(OwnCopies),
		Body:  registeredIsACopy,
	}, {
		Name:  "copies/lookup",
		Rule:  "what GetService returns is the caller's own, down to the last map",
		Needs: needs(OwnCopies),
		Body:  foundIsACopy,
	}, {
		Name:  "copies/list",
		Rule:  "what ListServices returns is the caller's own, down to the last map",
		Needs: needs(OwnCopies),
		Body:  listedIsACopy,
	}, {
		Name:  "copies/results",
		Rule:  "what Next returns is the caller's own: no other watcher, and no lookup, sees it change",
		Needs: needs(OwnCopies, WholeRecord),
		Body:  resultsAreCopies,
	}}
}

// overwrite changes everything that s leads to.
func overwrite(s *registry.Service) {
	s.Name, s.Version = "overwritten", "overwritten"
	overwriteMap(s.Metadata)
	for _, n := range s.Nodes {
		n.Id, n.Address = "overwritten", "overwritten"
		overwriteMap(n.Metadata)
	}
	for _, ep := range s.Endpoints {
		ep.Name = "overwritten"
		overwriteMap(ep.Metadata)
		overwriteValue(ep.Request)
		overwriteValue(ep.Response)
	}
	clear(s.Nodes)
	clear(s.Endpoints)
}

func overwriteMap(m map[string]string) {
	for k := range m {
		m[k] = "overwritten"
	}
	if m != nil {
		m["overwritten"] = "overwritten"
	}
}

func overwriteValue(v *registry.Value) {
	if v == nil {
		return
	}
	v.Name, v.Type = "overwritten", "overwritten"
	for _, sub := range v.Values {
		overwriteValue(sub)
	}
	clear(v.Values)
}

func registeredIsACopy(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	want := record.Clone(s)
	p.Register(s)
	overwrite(s)
	p.Finds(want.Name, want)
	p.Register(want)
	p.Finds(want.Name, want)
}

func foundIsACopy(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s)
	for range 2 {
		for _, found := range p.Find(s.Name) {
			overwrite(found)
		}
		p.Finds(s.Name, s)
	}
}

func listedIsACopy(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s)
	for range 2 {
		for _, listed := range p.List() {
			overwrite(listed)
		}
		p.Lists(s)
		p.Finds(s.Name, s)
	}
}

func resultsAreCopies(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	moved := record.With(s, func(c *registry.Service) { c.Nodes[0].Address = "10.2.2.2:2" })
	changed := p.WatchUnread(registry.WatchService(s.Name))
	kept := p.WatchUnread(registry.WatchService(s.Name))
	for _, step := range []struct {
		do   func()
		want *registry.Service
	}{
		{func() { p.Register(s) }, s},
		{func() { p.Register(moved) }, moved},
		{func() { p.Deregister(s) }, record.Bare(moved)},
	} {
		step.do()
		overwrite(changed.ReadOne().Service)
		r := kept.ReadOne()
		got, want := record.Text(r.Service), record.Text(step.want)
		if r.Service.Name != s.Name || !record.HasNode(r.Service, "n1") {
			e.Failf("another watcher's reader made this of a %s: %s", r.Action, got)
		} else if r.Action != "delete" && got != want {
			e.Failf("another watcher's reader made this of a %s: %snot\n%s", r.Action, got, want)
		}
	}
	p.Finds(s.Name)
	p.Register(s)
	p.Finds(s.Name, s)
}
