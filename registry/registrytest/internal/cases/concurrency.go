package cases

import (
	"fmt"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func concurrencyCases() []Case {
	return []Case{{
		Name: "concurrent/use",
		Rule: "all methods may be called at the same time, and the registry is right afterwards",
		Body: concurrentUse,
	}, {
		Name: "concurrent/same-node",
		Rule: "many Registers of one node at the same time make one node",
		Body: concurrentSameNode,
	}, {
		Name:  "concurrent/init",
		Rule:  "Init, and the chain of Inits that Go Micro's command line makes, is safe while the registry is in use",
		Needs: needs(InitWhileUsed),
		Body:  concurrentInit,
	}}
}

func concurrentUse(e *harness.Env) {
	p := e.Open()
	name := e.Name("greeter")
	const workers, rounds = 8, 15
	e.Each(workers, func(w int) {
		own := record.Sample(name, fmt.Sprint(w%2), fmt.Sprintf("n%d", w))
		for range rounds {
			p.Register(own)
			p.Find(name)
			p.List()
			events := p.Watch(registry.WatchService(name))
			p.Deregister(own)
			events.Stop()
			_ = events.AwaitEnd("Stop")
			_, _ = p.Registry.Options(), p.Registry.String()
		}
		p.Register(own)
	})
	for v := range 2 {
		want := record.Sample(name, fmt.Sprint(v))
		for w := v; w < workers; w += 2 {
			want.Nodes = append(want.Nodes, record.Node(fmt.Sprintf("n%d", w), 0))
		}
		for _, found := range p.Find(name) {
			if found.Version == want.Version && record.Text(found) != record.Text(want) {
				e.Failf("got\n%swant\n%s", record.Text(found), record.Text(want))
			}
		}
	}
	if n := len(p.Find(name)); n != 2 {
		e.Failf("found %d versions, not 2", n)
	}
}

func concurrentSameNode(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	e.Each(16, func(int) { p.Register(s) })
	p.Finds(s.Name, s)
	p.Deregister(s)
	p.Finds(s.Name)
}

func concurrentInit(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s)
	events := p.Follow(s.Name)
	e.Each(4, func(w int) {
		for i := range 15 {
			if w == 0 {
				if err := p.Registry.Init(registry.Timeout(time.Duration(3+i%2) * time.Second)); err != nil {
					e.Failf("Init: %v", err)
				}
				continue
			}
			own := record.Sample(s.Name, "1", fmt.Sprintf("n%d", w+1))
			p.Register(own)
			p.Find(s.Name)
			p.Deregister(own)
			_ = p.Registry.Options()
		}
	})
	p.Finds(s.Name, s)
	e.Eventually("the folded results", func() string { return events.Differs(p.Find(s.Name)) })
}
