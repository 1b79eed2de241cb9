package chaos

import (
	"context"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/test/chaos/check"
	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
	"github.com/micro-etcd/micro-etcd/test/chaos/process"
)

// withRecords has a provider with some records, a killed process whose records are gone, and a consumer.
func withRecords(t *testing.T, size int) (env *testEnv, provider, consumer *process.Process) {
	t.Helper()
	env = newEnv(t, size)
	provider = env.process("provider")
	consumer = env.follower("consumer", "greeter", "other")
	for i := range 5 {
		env.register(provider, "greeter", fmt.Sprint("n", i), 60*time.Second)
	}
	env.register(provider, "other", "o1", 60*time.Second)
	env.converge(time.Second, "views agree before")
	return env, provider, consumer
}

func wiped(t *testing.T)                 { wipe(t, 1) }
func wipedWithThreeMembers(t *testing.T) { wipe(t, 3) }

func wipe(t *testing.T, size int) {
	t.Helper()
	env, p, _ := withRecords(t, size)
	env.wipe()
	env.back(check.ProbeInterval, "wiped: records back")
	env.converge(check.ProbeInterval, "wiped: views agree")
	env.register(p, "greeter", "after", 60*time.Second)
	env.converge(time.Second, "wiped: a later change is seen")
	env.end()
}

// wipedThenOvertaken lets the new history overtake the old one before anybody has looked. Beside that, one record has
// gone in it and another one come, so that their number tells nothing.
func wipedThenOvertaken(t *testing.T) {
	env, p, c := withRecords(t, 1)
	leaver, comer := env.process("leaver"), env.process("comer")
	env.register(leaver, "greeter", "went", 60*time.Second)
	env.converge(time.Second, "views agree before")
	env.cut(p)
	env.cut(c)
	env.kill(leaver)
	env.wipe()
	env.etcd("make 200 revisions", func(ctx context.Context, c *clientv3.Client) error {
		for range 200 {
			if _, err := c.Put(ctx, cluster.ReadyKey, ""); err != nil {
				return err
			}
		}
		return nil
	})
	env.register(comer, "greeter", "came", 60*time.Second)
	env.connect(p)
	env.connect(c)
	env.back(check.ProbeInterval, "wiped and overtaken: records back")
	env.converge(check.ProbeInterval, "wiped and overtaken: views agree")
	env.end()
}

func restoredPlain(t *testing.T)  { restore(t) }
func restoredBumped(t *testing.T) { restore(t, "--bump-revision", "1000000", "--mark-compacted") }

// restore takes etcd back to a time before some records came, changed, and went.
func restore(t *testing.T, args ...string) {
	t.Helper()
	env, p, _ := withRecords(t, 1)
	env.register(p, "greeter", "went", 60*time.Second)
	snapshot := env.snapshot()
	env.deregister(p, "greeter", "went")
	env.register(p, "greeter", "came", 60*time.Second)
	env.register(p, "greeter", "n1", 60*time.Second)
	env.converge(time.Second, "views agree before")
	env.restore(snapshot, args...)
	env.back(check.ProbeInterval, "restored: records back")
	env.converge(check.ProbeInterval, "restored: views agree")
	env.register(p, "greeter", "after", 60*time.Second)
	env.converge(time.Second, "restored: a later change is seen")
	env.end()
}

// compactedWhileAway lets a consumer miss changes that it can't ask for any more.
func compactedWhileAway(t *testing.T) {
	env, p, c := withRecords(t, 1)
	env.excuse(c, 20*time.Second, "it is cut off")
	env.cut(c)
	env.register(p, "greeter", "came", 60*time.Second)
	env.register(p, "greeter", "n1", 60*time.Second)
	env.deregister(p, "greeter", "n2")
	env.compact()
	env.wait(5 * time.Second)
	env.connect(c)
	env.converge(check.ProbeInterval, "compacted while away: views agree")
	env.calm()
	env.end()
}
