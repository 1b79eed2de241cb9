package cases

import (
	"fmt"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func initCases() []Case {
	return []Case{{
		Name: "init/string",
		Rule: "String names the implementation: it is not empty, and the same for every value before and after Init",
		Body: stringIsStable,
	}, {
		Name: "init/options",
		Rule: "Init changes the live value: Options shows what was given to it, and keeps what was given before",
		Body: initShowsInOptions,
	}, {
		Name: "init/in-place",
		Rule: "Init on a registry in use loses neither registrations nor watchers, and what was registered before can be deregistered after",
		Body: initKeepsState,
	}, {
		Name: "init/no-leak",
		Rule: "Init leaves no goroutines behind, however often it is called",
		Body: initLeaksNothing,
	}}
}

func stringIsStable(e *harness.Env) {
	p, q := e.Open(), e.Open()
	name := p.Registry.String()
	if name == "" {
		e.Fatalf("String returned nothing")
	}
	if err := p.Registry.Init(); err != nil {
		e.Fatalf("Init without options: %v", err)
	}
	if p.Registry.String() != name || q.Registry.String() != name {
		e.Failf("String was %q, and is %q after Init and %q elsewhere", name, p.Registry.String(), q.Registry.String())
	}
}

func initShowsInOptions(e *harness.Env) {
	p := e.Open(registry.Timeout(7 * time.Second))
	before := p.Registry.Options()
	if before.Timeout != 7*time.Second {
		e.Failf("Options().Timeout is %v, opened with 7s", before.Timeout)
	}
	if err := p.Registry.Init(registry.Timeout(9 * time.Second)); err != nil {
		e.Fatalf("Init: %v", err)
	}
	after := p.Registry.Options()
	if after.Timeout != 9*time.Second {
		e.Failf("Options().Timeout is %v after Init(Timeout(9s))", after.Timeout)
	}
	if got, want := fmt.Sprint(after.Addrs), fmt.Sprint(before.Addrs); got != want {
		e.Failf("Init(Timeout) changed Options().Addrs from %s to %s", want, got)
	}
}

func initKeepsState(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s)
	events := p.Watch(registry.WatchService(s.Name))
	if err := p.Registry.Init(registry.Timeout(4 * time.Second)); err != nil {
		e.Fatalf("Init: %v", err)
	}
	p.Finds(s.Name, s)
	p.Deregister(record.Only(s, "n1"))
	p.Finds(s.Name, record.Only(s, "n2"))
	events.AwaitNode("delete", s, "n1")
}

func initLeaksNothing(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s)
	e.LeaksNothing(20, func(i int) {
		if err := p.Registry.Init(registry.Timeout(time.Duration(3+i%3) * time.Second)); err != nil {
			e.Fatalf("Init: %v", err)
		}
		p.Find(s.Name)
	})
}

func closeCases() []Case {
	return []Case{{
		Name:  "close/watchers",
		Rule:  "closing the registry ends its watchers with an error",
		Needs: needs(Closer),
		Body:  closeEndsWatchers,
	}, {
		Name:  "close/calls",
		Rule:  "every call on a closed registry returns an error, at once and without a panic",
		Needs: needs(Closer),
		Body:  closedCallsFail,
	}, {
		Name:  "close/twice",
		Rule:  "closing again is no error, and may be done by several goroutines at once",
		Needs: needs(Closer),
		Body:  closeTwice,
	}, {
		Name:  "close/withdraws",
		Rule:  "a closed registry's nodes are gone at once, and not only after their TTL",
		Needs: needs(Closer, Shared),
		Body:  closeWithdraws,
	}, {
		Name:  "close/no-leak",
		Rule:  "opening, using and closing a registry leaves no goroutines behind",
		Needs: needs(Closer),
		Body:  closeLeaksNothing,
	}}
}

func closeEndsWatchers(e *harness.Env) {
	p := e.Open()
	one, all := p.Watch(registry.WatchService(e.Name("greeter"))), p.Watch()
	p.Close()
	_ = one.AwaitEnd("Close")
	_ = all.AwaitEnd("Close")
}

func closedCallsFail(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s)
	p.Finds(s.Name, s)
	p.Close()
	calls := map[string]func() error{
		"Register":     func() error { return p.Registry.Register(s, registry.RegisterTTL(harness.LongTTL)) },
		"Deregister":   func() error { return p.Registry.Deregister(record.Bare(s)) },
		"GetService":   func() error { _, err := p.Registry.GetService(s.Name); return err },
		"ListServices": func() error { _, err := p.Registry.ListServices(); return err },
		"Watch":        func() error { return watchFails(e, p) },
	}
	for method, call := range calls {
		e.Within(e.Backend.Patience, method+" after Close", func() {
			if call() == nil {
				e.Failf("%s after Close returned no error", method)
			}
		})
	}
}

// watchFails returns the error of Watch or, as a watcher may be what brings the bad news, of its Next.
func watchFails(e *harness.Env, p *harness.Process) error {
	w, err := p.Registry.Watch()
	if err != nil {
		return err
	}
	e.Cleanup(w.Stop)
	_, err = w.Next()
	return err
}

func closeTwice(e *harness.Env) {
	p := e.Open()
	p.Register(record.Sample(e.Name("greeter"), "1", "n1"))
	e.Each(4, func(int) {
		if err := e.Backend.Close(p.Registry); err != nil {
			e.Failf("Close: %v", err)
		}
	})
}

func closeWithdraws(e *harness.Env) {
	p, reader := e.Open(), e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1", "n2")
	p.Register(s)
	reader.WillFind(s.Name, s)
	p.Close()
	reader.WillFind(s.Name)
}

func closeLeaksNothing(e *harness.Env) {
	s := record.Sample(e.Name("greeter"), "1", "n1")
	e.LeaksNothing(10, func(int) {
		p := e.Open()
		p.Register(s)
		p.Find(s.Name)
		events := p.Watch(registry.WatchService(s.Name))
		p.Close()
		_ = events.AwaitEnd("Close")
	})
}
