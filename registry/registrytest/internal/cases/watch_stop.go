package cases

import (
	"context"
	"errors"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func watchStopCases() []Case {
	return []Case{{
		Name: "watch/stop-unblocks",
		Rule: "Stop ends a Next that waits, with an error",
		Body: stopUnblocksNext,
	}, {
		Name: "watch/stop-twice",
		Rule: "Stop may be called again, and every Next after it returns an error at once",
		Body: stopTwice,
	}, {
		Name:  "watch/stopped-error",
		Rule:  "a Next that Stop ends, and every Next after it, returns registry.ErrWatcherStopped",
		Needs: needs(StoppedError),
		Body:  stoppedIsErrWatcherStopped,
	}, {
		Name:  "watch/stop-concurrently",
		Rule:  "Stop may be called by several goroutines at once",
		Needs: needs(ConcurrentStop),
		Body:  stopConcurrently,
	}, {
		Name: "watch/stop-amid-events",
		Rule: "Stop ends a watcher whose events nobody reads, and holds up neither Register nor other watchers",
		Body: stopAmidEvents,
	}, {
		Name:  "watch/context",
		Rule:  "the end of WatchContext ends Next with an error, as Stop does",
		Needs: needs(Contexts),
		Body:  contextEndsNext,
	}, {
		Name: "watch/no-leak",
		Rule: "a stopped watcher leaves no goroutine behind",
		Body: watchersLeakNothing,
	}}
}

func stopUnblocksNext(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	events := p.Watch(registry.WatchService(s.Name))
	p.Register(s)
	events.AwaitNode(harness.Present, s, "n1") // so Next runs, and goes back to waiting
	events.Stop()
	_ = events.AwaitEnd("Stop")
}

func stopTwice(e *harness.Env) {
	p := e.Open()
	w := p.WatchUnread(registry.WatchService(e.Name("greeter"))).Watcher
	for range 3 {
		w.Stop()
		e.Within(e.Backend.Patience, "Next after Stop", func() {
			if r, err := w.Next(); err == nil {
				e.Failf("Next after Stop returned %v and no error", r)
			}
		})
	}
}

func stoppedIsErrWatcherStopped(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	events := p.Watch(registry.WatchService(s.Name))
	p.Register(s)
	events.AwaitNode(harness.Present, s, "n1")
	events.Stop()
	if err := events.AwaitEnd("Stop"); !errors.Is(err, registry.ErrWatcherStopped) {
		e.Failf("Next returned %v when Stop was called", err)
	}
	e.Within(e.Backend.Patience, "Next after Stop", func() {
		if _, err := events.Next(); !errors.Is(err, registry.ErrWatcherStopped) {
			e.Failf("Next after Stop returned %v", err)
		}
	})
}

func stopConcurrently(e *harness.Env) {
	p := e.Open()
	for range 20 {
		events := p.Watch(registry.WatchService(e.Name("greeter")))
		e.Each(8, func(int) { events.Stop() })
		_ = events.AwaitEnd("eight Stops at once")
	}
}

func stopAmidEvents(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	other := p.Watch(registry.WatchService(s.Name))
	unread := p.WatchUnread(registry.WatchService(s.Name))
	for range 3 {
		p.Register(s)
		other.AwaitNode(harness.Present, s, "n1")
		p.Deregister(s)
		other.AwaitNode("delete", s, "n1")
	}
	e.Within(e.Backend.Patience, "Stop with events unread", unread.Stop)
	p.Register(s)
	other.AwaitNode(harness.Present, s, "n1")
	e.Within(e.Backend.Patience, "Next after Stop", func() {
		for { // what had arrived before Stop may still be handed out
			if _, err := unread.Next(); err != nil {
				return
			}
		}
	})
}

func contextEndsNext(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	ctx, cancel := context.WithCancel(e.Context())
	defer cancel()
	events := p.Watch(registry.WatchService(s.Name), registry.WatchContext(ctx))
	p.Register(s)
	events.AwaitNode(harness.Present, s, "n1")
	cancel()
	_ = events.AwaitEnd("the end of its context")
}

func watchersLeakNothing(e *harness.Env) {
	p := e.Open()
	s := record.Sample(e.Name("greeter"), "1", "n1")
	p.Register(s)
	e.LeaksNothing(30, func(int) {
		events := p.Watch(registry.WatchService(s.Name))
		events.Stop()
		_ = events.AwaitEnd("Stop")
	})
}
