package chaos

import (
	"testing"
	"time"
)

// TestSmoke is a scenario that is short enough for every run of the tests.
func TestSmoke(t *testing.T) {
	w := begin(t, 1)
	p := w.process("provider")
	w.follower("consumer", "greeter")
	w.register(p, "greeter", "n1", 30*time.Second)
	w.agree(time.Second, "a new record is seen")
	w.delete("greeter/n1")
	w.back(time.Second, "a deleted key is back")
	w.killEtcd()
	w.startEtcd()
	w.register(p, "greeter", "n2", 30*time.Second)
	w.back(2*time.Second, "after an outage")
	w.agree(2*time.Second, "after an outage: views agree")
	w.end()
}

// TestIsolate shows that the relays between members do what scenarios want of them.
func TestIsolate(t *testing.T) {
	w := begin(t, 3)
	isolated, err := w.cluster.leader(w.ctx)
	w.must(err)
	follows := func(m *member) uint64 {
		client, err := w.cluster.direct(m)
		w.must(err)
		status, err := client.Status(w.ctx, m.client)
		w.must(err)
		return status.Leader
	}
	w.isolate(isolated)
	w.eventually(10*time.Second, "the isolated member has no leader", func() bool { return follows(isolated) == 0 })
	for _, m := range w.cluster.members {
		if m != isolated {
			w.eventually(10*time.Second, "the others elect another one", func() bool {
				leader := follows(m)
				return leader != 0 && leader != w.cluster.ids[isolated.name]
			})
		}
	}
	w.rejoin(isolated)
	w.eventually(10*time.Second, "it follows again", func() bool { return follows(isolated) != 0 })
}
