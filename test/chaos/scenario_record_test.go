package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/micro-etcd/micro-etcd/test/relay"
)

func leaseRevoked(t *testing.T) {
	w := begin(t, 1)
	p := w.process("provider")
	w.follower("consumer", "greeter")
	w.register(p, "greeter", "n1", 30*time.Second)
	w.agree(time.Second, "a new record is seen")
	for range 5 {
		w.revoke("greeter/n1")
		w.back(time.Second, "lease revoked: record back")
		w.agree(time.Second, "lease revoked: views agree")
	}
	w.end()
}

// leaseExpired keeps the provider's renewals from etcd until the lease has run out.
func leaseExpired(t *testing.T) {
	w := begin(t, 1)
	p := w.process("provider")
	w.follower("consumer", "greeter")
	w.register(p, "greeter", "n1", 3*time.Second)
	w.agree(time.Second, "a new record is seen")
	w.blackHole(p, w.cluster.members, relay.ToServer)
	w.untilGone("greeter/n1")
	w.connect(p)
	w.back(time.Second, "lease expired: record back")
	w.agree(time.Second, "lease expired: views agree")
	w.end()
}

// keepaliveUnanswered delays etcd's answers so long that the etcd client gives up on a lease that is alive.
func keepaliveUnanswered(t *testing.T) {
	w := begin(t, 1)
	p := w.processAt("provider", w.cluster.members, setup{Timeout: 40 * time.Second})
	w.follower("consumer", "greeter")
	w.register(p, "greeter", "warm", 20*time.Second)
	w.slow(p, relay.ToClient, 7*time.Second)
	w.register(p, "greeter", "n1", 20*time.Second)
	w.wait(15 * time.Second)
	before := w.lease(p, "n1")
	w.connect(p)
	w.agree(time.Second, "keepalive channel closed for no reason: views agree")
	w.wait(10 * time.Second)
	if after := w.lease(p, "n1"); after != before {
		t.Errorf("lease %s became %s", before, after)
	}
	w.end()
}

func keyDeleted(t *testing.T) {
	w := begin(t, 1)
	p := w.process("provider")
	w.follower("consumer", "greeter")
	w.register(p, "greeter", "n1", 30*time.Second)
	w.register(p, "greeter", "n2", 30*time.Second)
	w.agree(time.Second, "a new record is seen")
	for range 5 {
		w.delete("greeter/n1")
		w.back(time.Second, "key deleted: record back")
		w.agree(time.Second, "key deleted: views agree")
	}
	w.end()
}

func everythingDeleted(t *testing.T) {
	w := begin(t, 1)
	p := w.process("provider")
	w.follower("consumer", "greeter", "other")
	for i := range 20 {
		w.register(p, "greeter", fmt.Sprint("n", i), 30*time.Second)
		w.register(p, "other", fmt.Sprint("n", i), 30*time.Second)
	}
	w.agree(time.Second, "40 records are seen")
	for range 3 {
		w.deleteAll()
		w.back(time.Second, "40 keys deleted: records back")
		w.agree(time.Second, "40 keys deleted: views agree")
	}
	w.end()
}

func junk(t *testing.T) {
	w := begin(t, 1)
	p := w.process("provider")
	w.follower("consumer", "greeter")
	w.register(p, "greeter", "n1", 30*time.Second)
	w.register(p, "greeter", "n2", 30*time.Second)
	w.agree(time.Second, "a new record is seen")
	for range 5 {
		w.junk("greeter/n1")
		w.back(time.Second, "key overwritten by junk: record back")
		w.agree(time.Second, "key overwritten by junk: views agree")
	}
	w.end()
}

// takenOverThenKilled lets a second process take the id over and die. The first one stands by meanwhile, and has the
// id again when the other one's key has vanished.
func takenOverThenKilled(t *testing.T) {
	w := begin(t, 1)
	w.follower("consumer", "greeter")
	first, second := w.process("first"), w.process("second")
	w.register(first, "greeter", "n1", 30*time.Second)
	before := w.want["greeter/n1"]
	w.register(second, "greeter", "n1", 3*time.Second)
	w.untouched(5*time.Second, func() {}) // there is no fight
	w.calm()
	w.kill(second)
	w.untilChanged("greeter/n1", "second")
	w.want["greeter/n1"] = before
	w.back(time.Second, "other owner killed: the one standing by is back")
	w.agree(time.Second, "other owner killed: views agree")
	w.end()
}

// takenOverWhileStopped lets a process sleep past its TTL, and wake up when another one has its id.
func takenOverWhileStopped(t *testing.T) {
	w := begin(t, 1)
	w.follower("consumer", "greeter")
	first, second := w.process("first"), w.process("second")
	w.register(first, "greeter", "n1", 3*time.Second)
	before := w.want["greeter/n1"]
	w.pause(first)
	w.untilGone("greeter/n1")
	w.settle(0)
	w.register(second, "greeter", "n1", 30*time.Second)
	w.untouched(5*time.Second, func() { w.resume(first) }) // there is no fight
	w.calm()
	w.fault(faultUser, func() error { w.deregister(second, "greeter", "n1"); return nil }, "the other owner leaves")
	w.want["greeter/n1"] = before
	w.back(time.Second, "other owner deregistered: the one standing by is back")
	w.agree(time.Second, "other owner deregistered: views agree")
	w.end()
}

// lateDeregister lets an old process deregister an id that a new one has taken.
func lateDeregister(t *testing.T) {
	w := begin(t, 1)
	w.follower("consumer", "greeter")
	first, second := w.process("old"), w.process("new")
	w.register(first, "greeter", "n1", 5*time.Second)
	w.register(second, "greeter", "n1", 5*time.Second)
	w.untouched(3*time.Second, func() {
		if e := w.deregister(first, "greeter", "n1"); e.Err != "" {
			t.Error(e.Err)
		}
	})
	w.register(first, "greeter", "n1", 5*time.Second)
	w.register(second, "greeter", "n1", 5*time.Second)
	w.untouched(3*time.Second, func() { w.leave(first) })
	w.end()
}

func servicePaused(t *testing.T) {
	w := begin(t, 1)
	p := w.process("provider")
	w.follower("consumer", "greeter")
	for i := range 5 {
		w.register(p, "greeter", fmt.Sprint("n", i), 3*time.Second)
	}
	w.pause(p)
	w.untilGone("greeter/n0", "greeter/n1", "greeter/n2", "greeter/n3", "greeter/n4")
	w.agree(time.Second, "process stopped past its TTL: views tell")
	w.resume(p)
	w.back(time.Second, "process continued: records back")
	w.agree(time.Second, "process continued: views agree")
	w.end()
}

// serviceKilled kills processes with and without a successor.
func serviceKilled(t *testing.T) {
	w := begin(t, 1)
	w.follower("consumer", "greeter")
	p := w.process("provider")
	w.register(p, "greeter", "n1", 5*time.Second)
	w.register(p, "greeter", "n2", 5*time.Second)
	w.agree(time.Second, "a new record is seen")
	w.kill(p)
	w.gone(5*time.Second+expirySlack-noise, "process killed: record gone (TTL 5 s)", "greeter/n1")
	w.agree(time.Second+5*time.Second+expirySlack, "process killed: views agree (TTL 5 s)")
	next := w.process("successor")
	w.register(next, "greeter", "n1", 5*time.Second)
	w.agree(time.Second, "its successor is seen")
	w.end()
}
