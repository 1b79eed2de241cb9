package registrytest

import (
	"fmt"
	"time"

	"go-micro.dev/v4/registry"
)

func concurrencyCases() []Case {
	return []Case{{
		Name: "concurrent/use",
		Rule: "all methods may be called at the same time, and the registry is right afterwards",
		body: concurrentUse,
	}, {
		Name: "concurrent/same-node",
		Rule: "many Registers of one node at the same time make one node",
		body: concurrentSameNode,
	}, {
		Name:  "concurrent/init",
		Rule:  "Init, and the chain of Inits that Go Micro's command line makes, is safe while the registry is in use",
		Needs: needs(InitWhileUsed),
		body:  concurrentInit,
	}}
}

func concurrentUse(e *env) {
	p := e.open()
	name := e.name("greeter")
	const workers, rounds = 8, 15
	e.each(workers, func(w int) {
		own := sample(name, fmt.Sprint(w%2), fmt.Sprintf("n%d", w))
		for range rounds {
			p.register(own)
			p.find(name)
			p.list()
			events := p.watch(registry.WatchService(name))
			p.deregister(own)
			events.w.Stop()
			_ = events.awaitEnd("Stop")
			_, _ = p.Options(), p.String()
		}
		p.register(own)
	})
	for v := range 2 {
		want := sample(name, fmt.Sprint(v))
		for w := v; w < workers; w += 2 {
			want.Nodes = append(want.Nodes, node(fmt.Sprintf("n%d", w), 0))
		}
		for _, found := range p.find(name) {
			if found.Version == want.Version && text(found) != text(want) {
				e.failf("got\n%swant\n%s", text(found), text(want))
			}
		}
	}
	if n := len(p.find(name)); n != 2 {
		e.failf("found %d versions, not 2", n)
	}
}

func concurrentSameNode(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	e.each(16, func(int) { p.register(s) })
	p.finds(s.Name, s)
	p.deregister(s)
	p.finds(s.Name)
}

func concurrentInit(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s)
	events := p.follow(s.Name)
	e.each(4, func(w int) {
		for i := range 15 {
			if w == 0 {
				if err := p.Init(registry.Timeout(time.Duration(3+i%2) * time.Second)); err != nil {
					e.failf("Init: %v", err)
				}
				continue
			}
			own := sample(s.Name, "1", fmt.Sprintf("n%d", w+1))
			p.register(own)
			p.find(s.Name)
			p.deregister(own)
			_ = p.Options()
		}
	})
	p.finds(s.Name, s)
	e.eventually("the folded results", func() string { return events.folded(p.find(s.Name)) })
}
