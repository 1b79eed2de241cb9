package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/micro-etcd/micro-etcd/test/chaos/check"
	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/process"
	"github.com/micro-etcd/micro-etcd/test/relay"
)

func leaseRevoked(t *testing.T) {
	env := newEnv(t, 1)
	p := env.process("provider")
	env.follower("consumer", "greeter")
	env.register(p, "greeter", "n1", 30*time.Second)
	env.converge(time.Second, "a new record is seen")
	for range 5 {
		env.revoke("greeter/n1")
		env.back(time.Second, "lease revoked: record back")
		env.converge(time.Second, "lease revoked: views agree")
	}
	env.end()
}

// leaseExpired keeps the provider's renewals from etcd until the lease has run out.
func leaseExpired(t *testing.T) {
	env := newEnv(t, 1)
	p := env.process("provider")
	env.follower("consumer", "greeter")
	env.register(p, "greeter", "n1", 3*time.Second)
	env.converge(time.Second, "a new record is seen")
	env.blackHole(p, env.cluster.Members, relay.ToServer)
	env.untilGone("greeter/n1")
	env.connect(p)
	env.back(time.Second, "lease expired: record back")
	env.converge(time.Second, "lease expired: views agree")
	env.end()
}

// keepaliveUnanswered delays etcd's answers so long that the etcd client gives up on a lease that is alive.
func keepaliveUnanswered(t *testing.T) {
	env := newEnv(t, 1)
	p := env.processAt("provider", env.cluster.Members, process.Setup{Timeout: 40 * time.Second})
	env.follower("consumer", "greeter")
	env.register(p, "greeter", "warm", 20*time.Second)
	env.slow(p, relay.ToClient, 7*time.Second)
	env.register(p, "greeter", "n1", 20*time.Second)
	env.wait(15 * time.Second)
	before := env.lease(p, "n1")
	env.connect(p)
	env.converge(time.Second, "keepalive channel closed for no reason: views agree")
	env.wait(10 * time.Second)
	if after := env.lease(p, "n1"); after != before {
		t.Errorf("lease %s became %s", before, after)
	}
	env.end()
}

func keyDeleted(t *testing.T) { repair(t, "key deleted", (*testEnv).delete) }

func junk(t *testing.T) { repair(t, "key overwritten by junk", (*testEnv).junk) }

// repair harms a key again and again.
func repair(t *testing.T, what string, harm func(env *testEnv, key string)) {
	t.Helper()
	env := newEnv(t, 1)
	p := env.process("provider")
	env.follower("consumer", "greeter")
	env.register(p, "greeter", "n1", 30*time.Second)
	env.register(p, "greeter", "n2", 30*time.Second)
	env.converge(time.Second, "a new record is seen")
	for range 5 {
		harm(env, "greeter/n1")
		env.back(time.Second, what+": record back")
		env.converge(time.Second, what+": views agree")
	}
	env.end()
}

func everythingDeleted(t *testing.T) {
	env := newEnv(t, 1)
	p := env.process("provider")
	env.follower("consumer", "greeter", "other")
	for i := range 20 {
		env.register(p, "greeter", fmt.Sprint("n", i), 30*time.Second)
		env.register(p, "other", fmt.Sprint("n", i), 30*time.Second)
	}
	env.converge(time.Second, "40 records are seen")
	for range 3 {
		env.deleteAll()
		env.back(time.Second, "40 keys deleted: records back")
		env.converge(time.Second, "40 keys deleted: views agree")
	}
	env.end()
}

// takenOverThenKilled lets a second process take the id over and die. The first one stands by meanwhile, and has the id
// again when the other one's key has vanished.
func takenOverThenKilled(t *testing.T) {
	env := newEnv(t, 1)
	env.follower("consumer", "greeter")
	first, second := env.process("first"), env.process("second")
	env.register(first, "greeter", "n1", 30*time.Second)
	before := env.want["greeter/n1"]
	env.register(second, "greeter", "n1", 3*time.Second)
	env.untouched(5*time.Second, func() {}) // there is no fight
	env.calm()
	env.kill(second)
	env.untilChanged("greeter/n1", "second")
	env.want["greeter/n1"] = before
	env.back(time.Second, "other owner killed: the one standing by is back")
	env.converge(time.Second, "other owner killed: views agree")
	env.end()
}

// takenOverWhileStopped lets a process sleep past its TTL, and wake up when another one has its id.
func takenOverWhileStopped(t *testing.T) {
	env := newEnv(t, 1)
	env.follower("consumer", "greeter")
	first, second := env.process("first"), env.process("second")
	env.register(first, "greeter", "n1", 3*time.Second)
	before := env.want["greeter/n1"]
	env.pause(first)
	env.untilGone("greeter/n1")
	env.excuseFaults(0)
	env.register(second, "greeter", "n1", 30*time.Second)
	env.untouched(5*time.Second, func() { env.resume(first) }) // there is no fight
	env.calm()
	env.fault(
		history.FaultUser,
		func() error { env.deregister(second, "greeter", "n1"); return nil },
		"the other owner leaves",
	)
	env.want["greeter/n1"] = before
	env.back(time.Second, "other owner deregistered: the one standing by is back")
	env.converge(time.Second, "other owner deregistered: views agree")
	env.end()
}

// lateDeregister lets an old process deregister an id that a new one has taken.
func lateDeregister(t *testing.T) {
	env := newEnv(t, 1)
	env.follower("consumer", "greeter")
	first, second := env.process("old"), env.process("new")
	env.register(first, "greeter", "n1", 5*time.Second)
	env.register(second, "greeter", "n1", 5*time.Second)
	env.untouched(3*time.Second, func() {
		if e := env.deregister(first, "greeter", "n1"); e.Err != "" {
			t.Error(e.Err)
		}
	})
	env.register(first, "greeter", "n1", 5*time.Second)
	env.register(second, "greeter", "n1", 5*time.Second)
	env.untouched(3*time.Second, func() { env.leave(first) })
	env.end()
}

func servicePaused(t *testing.T) {
	env := newEnv(t, 1)
	p := env.process("provider")
	env.follower("consumer", "greeter")
	for i := range 5 {
		env.register(p, "greeter", fmt.Sprint("n", i), 3*time.Second)
	}
	env.pause(p)
	env.untilGone("greeter/n0", "greeter/n1", "greeter/n2", "greeter/n3", "greeter/n4")
	env.converge(time.Second, "process stopped past its TTL: views tell")
	env.resume(p)
	env.back(time.Second, "process continued: records back")
	env.converge(time.Second, "process continued: views agree")
	env.end()
}

// serviceKilled kills processes with and without a successor.
func serviceKilled(t *testing.T) {
	env := newEnv(t, 1)
	env.follower("consumer", "greeter")
	p := env.process("provider")
	env.register(p, "greeter", "n1", 5*time.Second)
	env.register(p, "greeter", "n2", 5*time.Second)
	env.converge(time.Second, "a new record is seen")
	env.kill(p)
	env.gone(5*time.Second+check.ExpirySlack-check.Noise, "process killed: record gone (TTL 5 s)", "greeter/n1")
	env.converge(time.Second+5*time.Second+check.ExpirySlack, "process killed: views agree (TTL 5 s)")
	next := env.process("successor")
	env.register(next, "greeter", "n1", 5*time.Second)
	env.converge(time.Second, "its successor is seen")
	env.end()
}
