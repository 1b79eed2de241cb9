package cases

import (
	"fmt"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func nameCases() []Case {
	return []Case{{
		Name: "name/slash",
		Rule: "a service name may hold slashes, and is found and listed under just that name",
		Body: nameWithSlash,
	}, {
		Name: "name/alike",
		Rule: "GetService returns services of exactly that name: a/b is not a-b, and neither is a or a/b/c",
		Body: namesAlike,
	}, {
		Name:  "name/same-ids",
		Rule:  "a/b and a-b are kept apart even if their nodes have the same ids",
		Needs: needs(FreeIDs),
		Body:  idsAlike,
	}, {
		Name: "name/list-alike",
		Rule: "ListServices keeps apart what differs in name or version, however the two join up",
		Body: listNamesAlike,
	}, {
		Name: "name/node-id-slash",
		Rule: "a node id may hold slashes (the HTTP broker's do), and x/y is not x-y",
		Body: nodeIDsWithSlash,
	}, {
		Name: "name/odd-node-ids",
		Rule: "an unusual node id is either refused or works, and never hurts its neighbors",
		Body: oddNodeIDs,
	}}
}

func nameWithSlash(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("team/greeter"), "1", "n1")
	p.Register(s)
	p.Finds(s.Name, s)
	p.Lists(s)
	p.Deregister(s)
	p.Finds(s.Name)
}

func namesAlike(e *harness.Env) {
	keptApart(e, func(i int) []string { return []string{fmt.Sprintf("n%d", i), fmt.Sprintf("m%d", i)} })
}

func idsAlike(e *harness.Env) {
	keptApart(e, func(int) []string { return []string{"n1", "n2"} })
}

// keptApart registers services with names that are easily mixed up, and with the given node ids.
func keptApart(e *harness.Env, ids func(i int) []string) {
	p := e.Open()
	var all []*registry.Service
	for i, suffix := range []string{"a", "a/b", "a-b", "a/b/c", "ab", "a.b"} {
		s := record.Sample(e.Name(suffix), "1", ids(i)...)
		s.Metadata["name"] = s.Name
		all = append(all, s)
		p.Register(s)
	}
	for _, s := range all {
		p.Finds(s.Name, s)
	}
	for i, s := range all {
		p.Deregister(s)
		p.Finds(s.Name)
		for _, other := range all[i+1:] {
			p.Finds(other.Name, other)
		}
	}
}

func listNamesAlike(e *harness.Env) {
	p := e.Open()
	s1 := record.Sample(e.Name("greeter1"), "2", "n1")
	s12 := record.Sample(e.Name("greeter"), "12", "n2")
	p.Register(s1)
	p.Register(s12)
	p.Lists(s1, s12)
}

func nodeIDsWithSlash(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("micro.http.broker"), "queue", "x/y", "x-y", "x", "x/y/z")
	p.Register(s)
	p.Finds(s.Name, s)
	p.Deregister(record.Only(s, "x/y"))
	p.Finds(s.Name, record.With(s, func(c *registry.Service) { c.Nodes = c.Nodes[1:] }))
	p.Deregister(record.Only(s, "x-y"))
	p.Finds(s.Name, record.With(s, func(c *registry.Service) { c.Nodes = c.Nodes[2:] }))
}

func oddNodeIDs(e *harness.Env) {
	p := e.Open()
	good := record.Sample(e.Name("greeter"), "1", "good")
	other := record.Sample(e.Name("other"), "1", "good")
	p.Register(good)
	p.Register(other)
	for _, id := range []string{"..", ".", "../good", "/", "a//b", "a b", "ä\u2028", "%2e%2e", "good/", "\x00"} {
		odd := record.Only(record.Sample(good.Name, "1", "good", id), id)
		err := p.Registry.Register(odd, registry.RegisterTTL(harness.LongTTL))
		want := good
		if err == nil {
			want = record.Sample(good.Name, "1", "good", id)
		}
		if wrong := p.Differs(good.Name, want); wrong != "" {
			e.Failf("after Register of node id %q returned %v: %s", id, err, wrong)
		}
		if err == nil {
			p.Deregister(odd)
		}
		p.Finds(good.Name, good)
		p.Finds(other.Name, other)
	}
}

func refuseCases() []Case {
	return []Case{
		refusal("nil-service", "a nil Service", func(string) *registry.Service { return nil }),
		refusal("no-nodes", "a Service without nodes", func(name string) *registry.Service {
			return record.Sample(name, "1")
		}),
		refusal("nil-node", "a Service with a nil node", withNilNode),
		refusal("no-name", "a Service without a name", func(string) *registry.Service {
			return record.Sample("", "1", "n1")
		}),
		refusal("no-node-id", "a node without an id", func(name string) *registry.Service {
			return record.Sample(name, "1", "")
		}),
		{
			Name:  "refuse/whole-or-nothing",
			Rule:  "a Register that is refused for one of its nodes registers none of them",
			Needs: needs(Validates),
			Body:  refusedRegisterLeavesNothing,
		},
		{
			Name:  "refuse/deregister",
			Rule:  "Deregister of a nil Service, or of one without nodes, is an error and not a panic",
			Needs: needs(Validates),
			Body:  deregisterOfNothing,
		},
	}
}

func refusal(name, what string, bad func(service string) *registry.Service) Case {
	return Case{
		Name:  "refuse/" + name,
		Rule:  "Register of " + what + " is an error: neither a success nor a panic",
		Needs: needs(Validates),
		Body: func(e *harness.Env) {
			p := e.Open()
			good := record.Sample(e.Name("greeter"), "1", "good")
			p.Register(good)
			if err := p.Registry.Register(bad(good.Name), registry.RegisterTTL(harness.LongTTL)); err == nil {
				e.Failf("Register of %s returned no error", what)
			}
			p.Finds(good.Name, good)
		},
	}
}

func withNilNode(name string) *registry.Service {
	s := record.Sample(name, "1", "n1")
	s.Nodes = append(s.Nodes, nil)
	return s
}

func refusedRegisterLeavesNothing(e *harness.Env) {
	p := e.Open()
	bad := withNilNode(e.Name("greeter"))
	if err := p.Registry.Register(bad, registry.RegisterTTL(harness.LongTTL)); err == nil {
		e.Failf("Register of a nil node returned no error")
	}
	p.Finds(bad.Name)
}

func deregisterOfNothing(e *harness.Env) {
	p := e.Open()
	good := record.Sample(e.Name("greeter"), "1", "good")
	p.Register(good)
	for _, bad := range []*registry.Service{nil, {Name: good.Name, Version: "1"}} {
		if err := p.Registry.Deregister(bad); err == nil {
			e.Failf("Deregister of %s returned no error", record.Text(bad))
		}
	}
	p.Finds(good.Name, good)
}
