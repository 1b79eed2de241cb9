package registrytest

import "go-micro.dev/v4/registry"

func copyCases() []Case {
	return []Case{{
		Name:  "copies/argument",
		Rule:  "what the caller does to a Service after Register changes nothing in the registry",
		Needs: needs(OwnCopies),
		body:  registeredIsACopy,
	}, {
		Name:  "copies/lookup",
		Rule:  "what GetService returns is the caller's own, down to the last map",
		Needs: needs(OwnCopies),
		body:  foundIsACopy,
	}, {
		Name:  "copies/list",
		Rule:  "what ListServices returns is the caller's own, down to the last map",
		Needs: needs(OwnCopies),
		body:  listedIsACopy,
	}, {
		Name:  "copies/results",
		Rule:  "what Next returns is the caller's own: no other watcher, and no lookup, sees it change",
		Needs: needs(OwnCopies, WholeRecord),
		body:  resultsAreCopies,
	}}
}

// ruin changes everything that s leads to.
func ruin(s *registry.Service) {
	s.Name, s.Version = "ruined", "ruined"
	ruinMap(s.Metadata)
	for _, n := range s.Nodes {
		n.Id, n.Address = "ruined", "ruined"
		ruinMap(n.Metadata)
	}
	for _, ep := range s.Endpoints {
		ep.Name = "ruined"
		ruinMap(ep.Metadata)
		ruinValue(ep.Request)
		ruinValue(ep.Response)
	}
	clear(s.Nodes)
	clear(s.Endpoints)
}

func ruinMap(m map[string]string) {
	for k := range m {
		m[k] = "ruined"
	}
	if m != nil {
		m["ruined"] = "ruined"
	}
}

func ruinValue(v *registry.Value) {
	if v == nil {
		return
	}
	v.Name, v.Type = "ruined", "ruined"
	for _, sub := range v.Values {
		ruinValue(sub)
	}
	clear(v.Values)
}

func registeredIsACopy(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	want := clone(s)
	p.register(s)
	ruin(s)
	p.finds(want.Name, want)
	p.register(want)
	p.finds(want.Name, want)
}

func foundIsACopy(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	p.register(s)
	for range 2 {
		for _, found := range p.find(s.Name) {
			ruin(found)
		}
		p.finds(s.Name, s)
	}
}

func listedIsACopy(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	p.register(s)
	for range 2 {
		for _, listed := range p.list() {
			ruin(listed)
		}
		if wrong := differs(p.list(), []*registry.Service{s}); wrong != "" {
			e.failf("ListServices: %s", wrong)
		}
		p.finds(s.Name, s)
	}
}

func resultsAreCopies(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	moved := with(s, func(c *registry.Service) { c.Nodes[0].Address = "10.2.2.2:2" })
	ruined := p.watchUnread(registry.WatchService(s.Name))
	kept := p.watchUnread(registry.WatchService(s.Name))
	for _, step := range []struct {
		do   func()
		want *registry.Service
	}{
		{func() { p.register(s) }, s},
		{func() { p.register(moved) }, moved},
		{func() { p.deregister(s) }, bare(moved)},
	} {
		step.do()
		ruin(ruined.one().Service)
		if r := kept.one(); r.Service.Name != s.Name || !hasNode(r.Service, "n1") {
			e.failf("another watcher's reader made this of a %s: %s", r.Action, text(r.Service))
		} else if r.Action != "delete" && text(r.Service) != text(step.want) {
			e.failf("another watcher's reader made this of a %s: %snot\n%s", r.Action, text(r.Service), text(step.want))
		}
	}
	p.finds(s.Name)
	p.register(s)
	p.finds(s.Name, s)
}
