package registrytest

import (
	"fmt"

	"go-micro.dev/v4/registry"
)

func nameCases() []Case {
	return []Case{{
		Name: "name/slash",
		Rule: "a service name may hold slashes, and is found and listed under just that name",
		body: nameWithSlash,
	}, {
		Name: "name/alike",
		Rule: "GetService returns services of exactly that name: a/b is not a-b, and neither is a or a/b/c",
		body: namesAlike,
	}, {
		Name:  "name/same-ids",
		Rule:  "a/b and a-b are kept apart even if their nodes have the same ids",
		Needs: needs(FreeIDs),
		body:  idsAlike,
	}, {
		Name: "name/list-alike",
		Rule: "ListServices keeps apart what differs in name or version, however the two join up",
		body: listNamesAlike,
	}, {
		Name: "name/node-id-slash",
		Rule: "a node id may hold slashes (the HTTP broker's do), and x/y is not x-y",
		body: nodeIDsWithSlash,
	}, {
		Name: "name/odd-node-ids",
		Rule: "an unusual node id is either refused or works, and never hurts its neighbors",
		body: oddNodeIDs,
	}}
}

func nameWithSlash(e *env) {
	p := e.open()
	s := sample(e.name("team/greeter"), "1", "n1")
	p.register(s)
	p.finds(s.Name, s)
	if wrong := differs(p.list(), []*registry.Service{s}); wrong != "" {
		e.failf("ListServices: %s", wrong)
	}
	p.deregister(s)
	p.finds(s.Name)
}

func namesAlike(e *env) {
	keptApart(e, func(i int) []string { return []string{fmt.Sprintf("n%d", i), fmt.Sprintf("m%d", i)} })
}

func idsAlike(e *env) {
	keptApart(e, func(int) []string { return []string{"n1", "n2"} })
}

// keptApart registers services with names that are easily mixed up, and with
// the given node ids.
func keptApart(e *env, ids func(i int) []string) {
	p := e.open()
	var all []*registry.Service
	for i, suffix := range []string{"a", "a/b", "a-b", "a/b/c", "ab", "a.b"} {
		s := sample(e.name(suffix), "1", ids(i)...)
		s.Metadata["name"] = s.Name
		all = append(all, s)
		p.register(s)
	}
	for _, s := range all {
		p.finds(s.Name, s)
	}
	for i, s := range all {
		p.deregister(s)
		p.finds(s.Name)
		for _, other := range all[i+1:] {
			p.finds(other.Name, other)
		}
	}
}

func listNamesAlike(e *env) {
	p := e.open()
	s1 := sample(e.name("greeter1"), "2", "n1")
	s12 := sample(e.name("greeter"), "12", "n2")
	p.register(s1)
	p.register(s12)
	if wrong := differs(p.list(), []*registry.Service{s1, s12}); wrong != "" {
		e.failf("ListServices: %s", wrong)
	}
}

func nodeIDsWithSlash(e *env) {
	p := e.open()
	s := sample(e.name("micro.http.broker"), "queue", "x/y", "x-y", "x", "x/y/z")
	p.register(s)
	p.finds(s.Name, s)
	p.deregister(only(s, "x/y"))
	p.finds(s.Name, with(s, func(c *registry.Service) { c.Nodes = c.Nodes[1:] }))
	p.deregister(only(s, "x-y"))
	p.finds(s.Name, with(s, func(c *registry.Service) { c.Nodes = c.Nodes[2:] }))
}

func oddNodeIDs(e *env) {
	p := e.open()
	good := sample(e.name("greeter"), "1", "good")
	other := sample(e.name("other"), "1", "good")
	p.register(good)
	p.register(other)
	for _, id := range []string{"..", ".", "../good", "/", "a//b", "a b", "ä\u2028", "%2e%2e", "good/", "\x00"} {
		odd := only(sample(good.Name, "1", "good", id), id)
		err := p.Register(odd, registry.RegisterTTL(lasting))
		want := good
		if err == nil {
			want = sample(good.Name, "1", "good", id)
		}
		if wrong := p.wrong(good.Name, want); wrong != "" {
			e.failf("after Register of node id %q returned %v: %s", id, err, wrong)
		}
		if err == nil {
			p.deregister(odd)
		}
		p.finds(good.Name, good)
		p.finds(other.Name, other)
	}
}
