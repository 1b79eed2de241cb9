package cases

import (
	"errors"
	"fmt"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func lookupCases() []Case {
	return []Case{{
		Name: "lookup/unknown",
		Rule: "GetService of an unknown name returns registry.ErrNotFound itself, which callers compare with ==",
		Body: lookupUnknown,
	}, {
		Name: "lookup/no-name",
		Rule: "GetService of the empty name is an error, not everything at once",
		Body: lookupNoName,
	}, {
		Name: "lookup/list",
		Rule: "ListServices returns every version of every service in full, one Service each",
		Body: listIsFull,
	}, {
		Name:  "lookup/follows",
		Rule:  "a lookup that is repeated shows what other processes have changed meanwhile",
		Needs: needs(Shared, WholeRecord),
		Body:  lookupFollows,
	}, {
		Name:  "lookup/not-found-passes",
		Rule:  "a name that was not found is found once another process has registered it",
		Needs: needs(Shared),
		Body:  notFoundPasses,
	}, {
		Name:  "lookup/ordered",
		Rule:  "GetService and ListServices return equal contents in equal order, whatever the order of registration",
		Needs: needs(Ordered),
		Body:  lookupIsOrdered,
	}}
}

func lookupUnknown(e *harness.Env) {
	p := e.Open()
	p.Register(record.Sample(e.Name("greeter"), "1", "n1"))
	for _, name := range []string{e.Name("nobody"), e.Name("greet"), e.Name("greeter/x")} {
		found, err := p.Registry.GetService(name)
		if err != registry.ErrNotFound { //nolint:errorlint // identity is the rule
			e.Failf("GetService(%q) returned %v and the error %v", name, found, err)
		}
		if len(found) > 0 {
			e.Failf("GetService(%q) returned %s", name, record.TextAll(found))
		}
	}
}

func lookupNoName(e *harness.Env) {
	p := e.Open()
	p.Register(record.Sample(e.Name("greeter"), "1", "n1"))
	if found, err := p.Registry.GetService(""); err == nil {
		e.Failf("GetService(\"\") returned %d services and no error", len(found))
	}
}

func listIsFull(e *harness.Env) {
	p := e.Open()
	all := []*registry.Service{
		record.Sample(e.Name("greeter"), "1", "n1", "n2"),
		record.Sample(e.Name("greeter"), "2", "n3"),
		record.Sample(e.Name("teller"), "1", "n1", "n2"),
	}
	for _, s := range all {
		p.Register(s)
	}
	p.Lists(all...)
	p.Deregister(all[0])
	p.Lists(all[1:]...)
}

func lookupFollows(e *harness.Env) {
	p, reader := e.Open(), e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s)
	reader.WillFind(s.Name, s)
	for i := range 10 {
		s.Nodes[0].Address = fmt.Sprintf("10.1.0.%d:1", i)
		s.Metadata["round"] = fmt.Sprint(i)
		p.Register(s)
		reader.WillFind(s.Name, s)
		p.Deregister(record.Only(s, "n2"))
		reader.WillFind(s.Name, record.Only(s, "n1"))
	}
}

func notFoundPasses(e *harness.Env) {
	p, reader := e.Open(), e.Open()
	for i := range 5 {
		s := record.Sample(e.Name(fmt.Sprintf("greeter%d", i)), "1", "n1")
		if _, err := reader.Registry.GetService(s.Name); !errors.Is(err, registry.ErrNotFound) {
			e.Fatalf("GetService of an unknown name: %v", err)
		}
		p.Register(s)
		reader.WillFind(s.Name, s)
	}
}

func lookupIsOrdered(e *harness.Env) {
	p, name := e.Open(), e.Name("greeter")
	ids := []string{"n3", "n1", "n5", "n2", "n4"}
	for _, version := range []string{"3", "1", "2", "10"} {
		p.Register(record.Sample(name, version, ids...))
		for i := range ids {
			ids[i] += version
		}
	}
	order := func() string { return fmt.Sprint(sequence(p.Find(name)), sequence(p.List())) }
	first := order()
	for range 20 {
		if again := order(); again != first {
			e.Fatalf("two lookups of the same contents:\n%s\n%s", first, again)
		}
	}
	back := record.Sample(name, "3", "n1")
	p.Deregister(back)
	p.Register(back)
	if again := order(); again != first {
		e.Failf("order depends on what was registered last:\n%s\n%s", first, again)
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
