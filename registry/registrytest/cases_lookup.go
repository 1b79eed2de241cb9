package registrytest

import (
	"errors"
	"fmt"

	"go-micro.dev/v4/registry"
)

func lookupCases() []Case {
	return []Case{{
		Name: "lookup/unknown",
		Rule: "GetService of an unknown name returns registry.ErrNotFound itself, which callers compare with ==",
		body: lookupUnknown,
	}, {
		Name: "lookup/no-name",
		Rule: "GetService of the empty name is an error, not everything at once",
		body: lookupNoName,
	}, {
		Name: "lookup/list",
		Rule: "ListServices returns every version of every service in full, one Service each",
		body: listIsFull,
	}, {
		Name:  "lookup/follows",
		Rule:  "a lookup that is repeated shows what other processes have changed meanwhile",
		Needs: needs(Shared, WholeRecord),
		body:  lookupFollows,
	}, {
		Name:  "lookup/not-found-passes",
		Rule:  "a name that was not found is found once another process has registered it",
		Needs: needs(Shared),
		body:  notFoundPasses,
	}, {
		Name:  "lookup/ordered",
		Rule:  "GetService and ListServices return equal contents in equal order, whatever the order of registration",
		Needs: needs(Ordered),
		body:  lookupIsOrdered,
	}}
}

func lookupUnknown(e *env) {
	p := e.open()
	p.register(sample(e.name("greeter"), "1", "n1"))
	for _, name := range []string{e.name("nobody"), e.name("greet"), e.name("greeter/x")} {
		found, err := p.GetService(name)
		if err != registry.ErrNotFound { //nolint:errorlint // identity is the rule
			e.failf("GetService(%q) returned %v and the error %v", name, found, err)
		}
		if len(found) > 0 {
			e.failf("GetService(%q) returned %s", name, textAll(found))
		}
	}
}

func lookupNoName(e *env) {
	p := e.open()
	p.register(sample(e.name("greeter"), "1", "n1"))
	if found, err := p.GetService(""); err == nil {
		e.failf("GetService(\"\") returned %d services and no error", len(found))
	}
}

func listIsFull(e *env) {
	p := e.open()
	all := []*registry.Service{
		sample(e.name("greeter"), "1", "n1", "n2"),
		sample(e.name("greeter"), "2", "n3"),
		sample(e.name("teller"), "1", "n1", "n2"),
	}
	for _, s := range all {
		p.register(s)
	}
	if wrong := differs(p.list(), all); wrong != "" {
		e.failf("ListServices: %s", wrong)
	}
	p.deregister(all[0])
	if wrong := differs(p.list(), all[1:]); wrong != "" {
		e.failf("ListServices after Deregister: %s", wrong)
	}
}

func lookupFollows(e *env) {
	p, reader := e.open(), e.open()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	p.register(s)
	reader.willFind(s.Name, s)
	for i := range 10 {
		s.Nodes[0].Address = fmt.Sprintf("10.1.0.%d:1", i)
		s.Metadata["round"] = fmt.Sprint(i)
		p.register(s)
		reader.willFind(s.Name, s)
		p.deregister(only(s, "n2"))
		reader.willFind(s.Name, only(s, "n1"))
	}
}

func notFoundPasses(e *env) {
	p, reader := e.open(), e.open()
	for i := range 5 {
		s := sample(e.name(fmt.Sprintf("greeter%d", i)), "1", "n1")
		if _, err := reader.GetService(s.Name); !errors.Is(err, registry.ErrNotFound) {
			e.fatalf("GetService of an unknown name: %v", err)
		}
		p.register(s)
		reader.willFind(s.Name, s)
	}
}

func lookupIsOrdered(e *env) {
	p, name := e.open(), e.name("greeter")
	ids := []string{"n3", "n1", "n5", "n2", "n4"}
	for _, version := range []string{"3", "1", "2", "10"} {
		p.register(sample(name, version, ids...))
		for i := range ids {
			ids[i] += version
		}
	}
	order := func() string { return fmt.Sprint(sequence(p.find(name)), sequence(p.list())) }
	first := order()
	for range 20 {
		if again := order(); again != first {
			e.fatalf("two lookups of the same contents:\n%s\n%s", first, again)
		}
	}
	back := sample(name, "3", "n1")
	p.deregister(back)
	p.register(back)
	if again := order(); again != first {
		e.failf("order depends on what was registered last:\n%s\n%s", first, again)
	}
}

// sequence names versions and nodes in the order in which they came.
func sequence(services []*registry.Service) []string {
	var names []string
	for _, s := range services {
		if s == nil {
			continue
		}
		for _, n := range s.Nodes {
			if n != nil {
				names = append(names, s.Version+":"+n.Id)
			}
		}
	}
	return names
}
