package registrytest

import (
	"context"
	"errors"

	"go-micro.dev/v4/registry"
)

func watchStopCases() []Case {
	return []Case{{
		Name: "watch/stop-unblocks",
		Rule: "Stop ends a Next that waits, with an error",
		body: stopUnblocksNext,
	}, {
		Name: "watch/stop-twice",
		Rule: "Stop may be called again, and every Next after it returns an error at once",
		body: stopTwice,
	}, {
		Name:  "watch/stopped-error",
		Rule:  "a Next that Stop ends, and every Next after it, returns registry.ErrWatcherStopped",
		Needs: needs(StoppedError),
		body:  stoppedIsErrWatcherStopped,
	}, {
		Name:  "watch/stop-concurrently",
		Rule:  "Stop may be called by several goroutines at once",
		Needs: needs(ConcurrentStop),
		body:  stopConcurrently,
	}, {
		Name: "watch/stop-amid-events",
		Rule: "Stop ends a watcher whose events nobody reads, and holds up neither Register nor other watchers",
		body: stopAmidEvents,
	}, {
		Name:  "watch/context",
		Rule:  "the end of WatchContext ends Next with an error, as Stop does",
		Needs: needs(Contexts),
		body:  contextEndsNext,
	}, {
		Name: "watch/no-leak",
		Rule: "a stopped watcher leaves no goroutine behind",
		body: watchersLeakNothing,
	}}
}

func stopUnblocksNext(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	events := p.watch(registry.WatchService(s.Name))
	p.register(s)
	events.awaitNode(present, s, "n1") // so Next runs, and goes back to waiting
	events.w.Stop()
	_ = events.awaitEnd("Stop")
}

func stopTwice(e *env) {
	p := e.open()
	w := p.watchUnread(registry.WatchService(e.name("greeter"))).w
	for range 3 {
		w.Stop()
		e.within(e.backend.Patience, "Next after Stop", func() {
			if r, err := w.Next(); err == nil {
				e.failf("Next after Stop returned %v and no error", r)
			}
		})
	}
}

func stoppedIsErrWatcherStopped(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	events := p.watch(registry.WatchService(s.Name))
	p.register(s)
	events.awaitNode(present, s, "n1")
	events.w.Stop()
	if err := events.awaitEnd("Stop"); !errors.Is(err, registry.ErrWatcherStopped) {
		e.failf("Next returned %v when Stop was called", err)
	}
	e.within(e.backend.Patience, "Next after Stop", func() {
		if _, err := events.w.Next(); !errors.Is(err, registry.ErrWatcherStopped) {
			e.failf("Next after Stop returned %v", err)
		}
	})
}

func stopConcurrently(e *env) {
	p := e.open()
	for range 20 {
		events := p.watch(registry.WatchService(e.name("greeter")))
		e.each(8, func(int) { events.w.Stop() })
		_ = events.awaitEnd("eight Stops at once")
	}
}

func stopAmidEvents(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	other := p.watch(registry.WatchService(s.Name))
	unread := p.watchUnread(registry.WatchService(s.Name))
	for range 3 {
		p.register(s)
		other.awaitNode(present, s, "n1")
		p.deregister(s)
		other.awaitNode("delete", s, "n1")
	}
	e.within(e.backend.Patience, "Stop with events unread", unread.w.Stop)
	p.register(s)
	other.awaitNode(present, s, "n1")
	e.within(e.backend.Patience, "Next after Stop", func() {
		for { // what had arrived before Stop may still be handed out
			if _, err := unread.w.Next(); err != nil {
				return
			}
		}
	})
}

func contextEndsNext(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	events := p.watch(registry.WatchService(s.Name), registry.WatchContext(ctx))
	p.register(s)
	events.awaitNode(present, s, "n1")
	cancel()
	_ = events.awaitEnd("the end of its context")
}

func watchersLeakNothing(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	p.register(s)
	e.leaksNothing(30, func(int) {
		events := p.watch(registry.WatchService(s.Name))
		events.w.Stop()
		_ = events.awaitEnd("Stop")
	})
}
