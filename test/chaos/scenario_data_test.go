package chaos

import (
	"context"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// dataWorld has a provider with some records, a killed process whose records are gone, and a consumer.
func dataWorld(t *testing.T, size int) (w *world, provider, consumer *process) {
	w = begin(t, size)
	provider = w.process("provider")
	consumer = w.follower("consumer", "greeter", "other")
	for i := range 5 {
		w.register(provider, "greeter", fmt.Sprint("n", i), 60*time.Second)
	}
	w.register(provider, "other", "o1", 60*time.Second)
	w.agree(time.Second, "views agree before")
	return w, provider, consumer
}

func wiped(t *testing.T)                 { wipe(t, 1) }
func wipedWithThreeMembers(t *testing.T) { wipe(t, 3) }

func wipe(t *testing.T, size int) {
	w, p, _ := dataWorld(t, size)
	w.wipe()
	w.back(probeInterval, "wiped: records back")
	w.agree(probeInterval, "wiped: views agree")
	w.register(p, "greeter", "after", 60*time.Second)
	w.agree(time.Second, "wiped: a later change is seen")
	w.end()
}

// wipedThenOvertaken lets the new history overtake the old one before anybody has looked. Beside that, one record has
// gone in it and another one come, so that their number tells nothing.
func wipedThenOvertaken(t *testing.T) {
	w, p, c := dataWorld(t, 1)
	leaver, comer := w.process("leaver"), w.process("comer")
	w.register(leaver, "greeter", "went", 60*time.Second)
	w.agree(time.Second, "views agree before")
	w.cut(p)
	w.cut(c)
	w.kill(leaver)
	w.wipe()
	w.etcd("make 200 revisions", func(ctx context.Context, c *clientv3.Client) error {
		for range 200 {
			if _, err := c.Put(ctx, ableKey, ""); err != nil {
				return err
			}
		}
		return nil
	})
	w.register(comer, "greeter", "came", 60*time.Second)
	w.connect(p)
	w.connect(c)
	w.back(probeInterval, "wiped and overtaken: records back")
	w.agree(probeInterval, "wiped and overtaken: views agree")
	w.end()
}

func restoredPlain(t *testing.T)  { restore(t) }
func restoredBumped(t *testing.T) { restore(t, "--bump-revision", "1000000", "--mark-compacted") }

// restore takes etcd back to a time before some records came, changed, and went.
func restore(t *testing.T, args ...string) {
	w, p, _ := dataWorld(t, 1)
	w.register(p, "greeter", "went", 60*time.Second)
	snapshot := w.snapshot()
	w.deregister(p, "greeter", "went")
	w.register(p, "greeter", "came", 60*time.Second)
	w.register(p, "greeter", "n1", 60*time.Second)
	w.agree(time.Second, "views agree before")
	w.restore(snapshot, args...)
	w.back(probeInterval, "restored: records back")
	w.agree(probeInterval, "restored: views agree")
	w.register(p, "greeter", "after", 60*time.Second)
	w.agree(time.Second, "restored: a later change is seen")
	w.end()
}

// compactedWhileAway lets a consumer miss changes that it can't ask for any more.
func compactedWhileAway(t *testing.T) {
	w, p, c := dataWorld(t, 1)
	w.excuse(c, 20*time.Second, "it is cut off")
	w.cut(c)
	w.register(p, "greeter", "came", 60*time.Second)
	w.register(p, "greeter", "n1", 60*time.Second)
	w.deregister(p, "greeter", "n2")
	w.compact()
	w.wait(5 * time.Second)
	w.connect(c)
	w.agree(probeInterval, "compacted while away: views agree")
	w.calm()
	w.end()
}
