package cases

import (
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func ownerCases() []Case {
	return []Case{{
		Name:  "owner/restart",
		Rule:  "a process that is started again with a fixed node id and address advertises its new version while the old one's has yet to expire",
		Needs: needs(Shared, WholeRecord, HookKill),
		Body:  restartedProcessShows,
	}, {
		Name:  "owner/late-deregister",
		Rule:  "a late Deregister of an old process does not remove the registration that another process has made since",
		Needs: needs(Shared, WholeRecord, Ownership),
		Body:  func(e *harness.Env) { removesNothing(e, (*harness.Process).Deregister) },
	}, {
		Name:  "owner/late-close",
		Rule:  "an old process that ends takes only its own registrations with it",
		Needs: needs(Shared, WholeRecord, Ownership, Closer),
		Body: func(e *harness.Env) {
			removesNothing(e, func(old *harness.Process, _ *registry.Service) { old.Close() })
		},
	}, {
		Name:  "owner/old-ttl",
		Rule:  "when a killed process's TTL is over, the registration of its successor stays",
		Needs: needs(Shared, HookKill),
		Body:  oldTTLRemovesNothing,
		Waits: true,
	}, {
		Name:  "owner/repeat",
		Rule:  "an old process that repeats its unchanged Register does not push out a newer one's record",
		Needs: needs(Shared, WholeRecord, Ownership),
		Body:  repeatDoesNotTakeOver,
	}}
}

// successor is the record of the same node after a restart elsewhere.
func successor(s *registry.Service) *registry.Service {
	return record.With(s, func(c *registry.Service) {
		c.Version = "2"
		c.Metadata["build"] = "new"
		c.Nodes[0].Address = "10.7.7.7:7"
	})
}

func restartedProcessShows(e *harness.Env) {
	old, fresh, reader := e.Open(), e.Open(), e.Open()
	s := record.Sample(e.Name("greeter"), "1", "fixed")
	old.Register(s)
	reader.WillFind(s.Name, s)
	old.Kill()
	restarted := record.With(successor(s), func(c *registry.Service) { c.Nodes = s.Nodes })
	fresh.Register(restarted)
	fresh.Finds(s.Name, restarted)
	reader.WillFind(s.Name, restarted)
}

// removesNothing demands that everybody still finds a successor's record after the last call of the old process, and
// that no delete of it has come by the time a later event has.
func removesNothing(e *harness.Env, lastCall func(old *harness.Process, s *registry.Service)) {
	old, fresh, reader := e.Open(), e.Open(), e.Open()
	s := record.Sample(e.Name("greeter"), "1", "fixed")
	old.Register(s)
	fresh.Register(successor(s))
	reader.WillFind(s.Name, successor(s))
	events := reader.Follow(s.Name)
	lastCall(old, s)
	later := record.Sample(s.Name, "later", "later")
	fresh.Register(later)
	events.AwaitNode(harness.Present, later, "later")
	if events.Nodes("delete")["fixed"] > 0 {
		e.Failf("it was deleted\n%s", events.Log())
	}
	reader.WillFind(s.Name, successor(s), later)
	fresh.Finds(s.Name, successor(s), later)
}

func oldTTLRemovesNothing(e *harness.Env) {
	old, fresh, reader := e.Open(), e.Open(), e.Open()
	ttl := e.Backend.TTL
	s := record.Sample(e.Name("greeter"), "1", "fixed")
	old.Register(s, ttl)
	old.Kill()
	fresh.Register(s, 3*ttl)
	reader.WillFind(s.Name, s)
	e.Consistently(4*ttl, ttl*2/7, "after the old process's TTL", func() string {
		wrong := reader.Differs(s.Name, s)
		fresh.Register(s, 3*ttl)
		return wrong
	})
}

func repeatDoesNotTakeOver(e *harness.Env) {
	old, fresh, reader := e.Open(), e.Open(), e.Open()
	s := record.Sample(e.Name("greeter"), "1", "fixed")
	old.Register(s)
	fresh.Register(successor(s))
	reader.WillFind(s.Name, successor(s))
	for range 3 {
		// What the old process is told is its own affair; it must not win.
		_ = old.Registry.Register(s, registry.RegisterTTL(harness.LongTTL))
		e.Consistently(50*time.Millisecond, 10*time.Millisecond, "after the old process's tick", func() string {
			return reader.Differs(s.Name, successor(s))
		})
	}
}
