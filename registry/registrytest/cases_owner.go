package registrytest

import (
	"time"

	"go-micro.dev/v4/registry"
)

func ownerCases() []Case {
	return []Case{{
		Name:  "owner/restart",
		Rule:  "a process that is started again with a fixed node id and address advertises its new version while the old one's has yet to expire",
		Needs: needs(Shared, WholeRecord, HookKill),
		body:  restartedProcessShows,
	}, {
		Name:  "owner/late-deregister",
		Rule:  "a late Deregister of an old process does not remove the registration that another process has made since",
		Needs: needs(Shared, WholeRecord, Ownership),
		body:  lateDeregisterRemovesNothing,
	}, {
		Name:  "owner/late-close",
		Rule:  "an old process that ends takes only its own registrations with it",
		Needs: needs(Shared, WholeRecord, Ownership, Closer),
		body:  lateCloseRemovesNothing,
	}, {
		Name:  "owner/old-ttl",
		Rule:  "when a killed process's TTL is over, the registration of its successor stays",
		Needs: needs(Shared, HookKill),
		body:  oldTTLRemovesNothing,
		waits: true,
	}, {
		Name:  "owner/repeat",
		Rule:  "an old process that repeats its unchanged Register does not push out a newer one's record",
		Needs: needs(Shared, WholeRecord, Ownership),
		body:  repeatDoesNotTakeOver,
	}}
}

// successor is the record of the same node after a restart elsewhere.
func successor(s *registry.Service) *registry.Service {
	return with(s, func(c *registry.Service) {
		c.Version = "2"
		c.Metadata["build"] = "new"
		c.Nodes[0].Address = "10.7.7.7:7"
	})
}

func restartedProcessShows(e *env) {
	old, fresh, reader := e.open(), e.open(), e.open()
	s := sample(e.name("greeter"), "1", "fixed")
	old.register(s)
	reader.willFind(s.Name, s)
	old.kill()
	restarted := with(successor(s), func(c *registry.Service) { c.Nodes = s.Nodes })
	fresh.register(restarted)
	fresh.finds(s.Name, restarted)
	reader.willFind(s.Name, restarted)
}

func lateDeregisterRemovesNothing(e *env) {
	old, fresh, reader := e.open(), e.open(), e.open()
	s := sample(e.name("greeter"), "1", "fixed")
	old.register(s)
	fresh.register(successor(s))
	reader.willFind(s.Name, successor(s))
	events := reader.follow(s.Name)
	old.deregister(s)
	stays(e, events, reader, fresh, successor(s))
}

func lateCloseRemovesNothing(e *env) {
	old, fresh, reader := e.open(), e.open(), e.open()
	s := sample(e.name("greeter"), "1", "fixed")
	old.register(s)
	fresh.register(successor(s))
	reader.willFind(s.Name, successor(s))
	events := reader.follow(s.Name)
	old.close()
	stays(e, events, reader, fresh, successor(s))
}

// stays demands that everybody still finds s, and that no delete of it has
// come by the time a later event has.
func stays(e *env, events *stream, reader, owner *process, s *registry.Service) {
	last := sample(s.Name, "last", "last")
	owner.register(last)
	events.awaitNode(present, last, "last")
	if events.nodes("delete")["fixed"] > 0 {
		e.failf("it was deleted\n%s", events.log())
	}
	reader.willFind(s.Name, s, last)
	owner.finds(s.Name, s, last)
}

func oldTTLRemovesNothing(e *env) {
	old, fresh, reader := e.open(), e.open(), e.open()
	ttl := e.backend.TTL
	s := sample(e.name("greeter"), "1", "fixed")
	old.register(s, ttl)
	old.kill()
	fresh.register(s, 3*ttl)
	reader.willFind(s.Name, s)
	e.holds(4*ttl, ttl*2/7, "after the old process's TTL", func() string {
		wrong := reader.wrong(s.Name, s)
		fresh.register(s, 3*ttl)
		return wrong
	})
}

func repeatDoesNotTakeOver(e *env) {
	old, fresh, reader := e.open(), e.open(), e.open()
	s := sample(e.name("greeter"), "1", "fixed")
	old.register(s)
	fresh.register(successor(s))
	reader.willFind(s.Name, successor(s))
	for range 3 {
		// What the old process is told is its own affair; it must not win.
		_ = old.Register(s, registry.RegisterTTL(lasting))
		e.holds(50*time.Millisecond, 10*time.Millisecond, "after the old process's tick", func() string {
			return reader.wrong(s.Name, successor(s))
		})
	}
}
