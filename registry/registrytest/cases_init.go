package registrytest

import (
	"fmt"
	"runtime"
	"time"

	"go-micro.dev/v4/registry"
)

func initCases() []Case {
	return []Case{{
		Name: "init/string",
		Rule: "String names the implementation: it is not empty, and the same for every value before and after Init",
		body: stringIsStable,
	}, {
		Name: "init/options",
		Rule: "Init changes the live value: Options shows what was given to it, and keeps what was given before",
		body: initShowsInOptions,
	}, {
		Name: "init/in-place",
		Rule: "Init on a registry in use loses neither registrations nor watchers, and what was registered before can be deregistered after",
		body: initKeepsState,
	}, {
		Name: "init/no-leak",
		Rule: "Init leaves no goroutines behind, however often it is called",
		body: initLeaksNothing,
	}}
}

func stringIsStable(e *env) {
	p, q := e.open(), e.open()
	name := p.String()
	if name == "" {
		e.fatalf("String returned nothing")
	}
	if err := p.Init(); err != nil {
		e.fatalf("Init without options: %v", err)
	}
	if p.String() != name || q.String() != name {
		e.failf("String was %q, and is %q after Init and %q elsewhere", name, p.String(), q.String())
	}
}

func initShowsInOptions(e *env) {
	p := e.open(registry.Timeout(7 * time.Second))
	before := p.Options()
	if before.Timeout != 7*time.Second {
		e.failf("Options().Timeout is %v, opened with 7s", before.Timeout)
	}
	if err := p.Init(registry.Timeout(9 * time.Second)); err != nil {
		e.fatalf("Init: %v", err)
	}
	after := p.Options()
	if after.Timeout != 9*time.Second {
		e.failf("Options().Timeout is %v after Init(Timeout(9s))", after.Timeout)
	}
	if got, want := fmt.Sprint(after.Addrs), fmt.Sprint(before.Addrs); got != want {
		e.failf("Init(Timeout) changed Options().Addrs from %s to %s", want, got)
	}
}

func initKeepsState(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1", "n2")
	p.register(s)
	events := p.watch(registry.WatchService(s.Name))
	if err := p.Init(registry.Timeout(4 * time.Second)); err != nil {
		e.fatalf("Init: %v", err)
	}
	p.finds(s.Name, s)
	p.deregister(only(s, "n1"))
	p.finds(s.Name, only(s, "n2"))
	events.awaitNode("delete", s, "n1")
}

func initLeaksNothing(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s)
	e.leaksNothing(20, func(i int) {
		if err := p.Init(registry.Timeout(time.Duration(3+i%3) * time.Second)); err != nil {
			e.fatalf("Init: %v", err)
		}
		p.find(s.Name)
	})
}

// leaksNothing demands that rounds of f don't leave a goroutine per round. A
// few may come and go for reasons that have nothing to do with f.
func (e *env) leaksNothing(rounds int, f func(i int)) {
	f(0) // what is started once does not count
	before := restingGoroutines()
	for i := range rounds {
		f(i)
	}
	e.eventually("goroutines end", func() string {
		if now := runtime.NumGoroutine(); now >= before+rounds/2 {
			return fmt.Sprintf("%d goroutines before %d rounds, %d after", before, rounds, now)
		}
		return ""
	})
}

// restingGoroutines returns how many goroutines there are once no more of them end: those of what was before don't count.
func restingGoroutines() int {
	n := runtime.NumGoroutine()
	for unchanged := 0; unchanged < 10; unchanged++ {
		time.Sleep(5 * time.Millisecond)
		if now := runtime.NumGoroutine(); now < n {
			n, unchanged = now, 0
		}
	}
	return n
}
