package chaos

import (
	"testing"
	"time"

	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
)

// TestSmoke is a scenario that is short enough for every run of the tests.
func TestSmoke(t *testing.T) {
	env := newEnv(t, 1)
	p := env.process("provider")
	env.follower("consumer", "greeter")
	env.register(p, "greeter", "n1", 30*time.Second)
	env.converge(time.Second, "a new record is seen")
	env.delete("greeter/n1")
	env.back(time.Second, "a deleted key is back")
	env.killEtcd()
	env.startEtcd()
	env.register(p, "greeter", "n2", 30*time.Second)
	env.back(2*time.Second, "after an outage")
	env.converge(2*time.Second, "after an outage: views agree")
	env.end()
}

// TestIsolate shows that the relays between members do what scenarios want of them.
func TestIsolate(t *testing.T) {
	env := newEnv(t, 3)
	isolated, err := env.cluster.Leader(env.ctx)
	env.must(err)
	follows := func(m *cluster.Member) uint64 {
		client, err := env.cluster.Client(m)
		env.must(err)
		status, err := client.Status(env.ctx, m.ClientAddr)
		env.must(err)
		return status.Leader
	}
	env.isolate(isolated)
	env.eventually(10*time.Second, "the isolated member has no leader", func() bool { return follows(isolated) == 0 })
	for _, m := range env.cluster.Members {
		if m != isolated {
			env.eventually(10*time.Second, "the others elect another one", func() bool {
				leader := follows(m)
				return leader != 0 && leader != isolated.ID
			})
		}
	}
	env.rejoin(isolated)
	env.eventually(10*time.Second, "it follows again", func() bool { return follows(isolated) != 0 })
}
