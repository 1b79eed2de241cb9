package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/chaos/check"
	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
	"github.com/micro-etcd/micro-etcd/test/chaos/process"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
	"github.com/micro-etcd/micro-etcd/test/directory"
)

// In these scenarios records go because nodes leave service, which the checker of histories doesn't know: they look at
// etcd's own history instead, and don't call end.

// TestMassSickness lets fifty processes fall sick at one moment, while a member is killed or etcd is compacted. Half of
// them stay. It runs alone, because they leave no processor for others.
func TestMassSickness(t *testing.T) {
	requireMode(t)
	const fleet, ttl = 50, 30 * time.Second
	env := newEnv(t, 3)
	last := env.cluster.Members[2]
	client, err := env.cluster.Client(last)
	env.must(err)
	nodes := directory.Follow(t, client, etcd.DefaultPrefix+"greeter/")
	for i := range fleet {
		env.processAt(fmt.Sprint("p", i), env.cluster.Members, process.Setup{Timeout: callTimeout, Checked: true})
	}
	for _, fault := range []func(){
		func() { env.killMember(env.cluster.Members[0]) },
		env.compact,
	} {
		env.all(func(p *process.Process) process.Command {
			return process.Command{Do: "register", Service: record.New("greeter", "1", p.Name, p.Name, "1"), TTL: ttl}
		})
		env.allSay("check database passing")
		env.all(func(*process.Process) process.Command { return process.Command{Do: "sick"} })
		fault()
		env.allSay("out-of-service", "held=true")
		env.eventually(patience, "half of them are out of service", func() bool {
			if text := nodes.Overshot(); text != "" {
				t.Fatal(text)
			}
			in, out := nodes.Count()
			return in == fleet/2 && out == fleet/2
		})
		env.startEtcd()
		env.all(func(*process.Process) process.Command { return process.Command{Do: "well"} })
		env.eventually(patience, "all of them are in service", func() bool {
			in, _ := nodes.Count()
			return in == fleet
		})
		env.all(func(p *process.Process) process.Command { // so that its checks begin anew
			return process.Command{Do: "deregister", Service: record.New("greeter", "1", p.Name, p.Name, "1")}
		})
	}
	nodes.Stop()
	env.closeAll()
	if left := env.awaitCleanup(); left != "" {
		t.Error(left)
	}
	if text := nodes.Overshot(); text != "" {
		t.Error(text)
	}
}

// all has every process do something at the same time.
func (env *testEnv) all(command func(*process.Process) process.Command) {
	env.t.Helper()
	var all sync.WaitGroup
	for _, p := range env.processes {
		all.Go(func() {
			if e, err := p.Ask(env.ctx, command(p)); err != nil || e.Err != "" {
				env.t.Error(p.Name, err, e.Err)
			}
		})
	}
	all.Wait()
}

// allSay waits until every process's status says one of some texts.
func (env *testEnv) allSay(texts ...string) {
	env.t.Helper()
	for _, p := range env.processes {
		env.eventually(patience, p.Name+" says "+texts[0], func() bool {
			status := env.tell(p, process.Command{Do: "status"}).Text
			return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(status, text) })
		})
	}
}

// drained takes a node out of service, and lets nothing that happens to etcd or to its process bring it back.
func drained(t *testing.T) {
	const ttl = 5 * time.Second
	env := newEnv(t, 3)
	p := env.process("provider")
	for _, node := range []string{"n1", "n2"} {
		env.tell(p, process.Command{
			Do: "register", Service: record.New("greeter", "1", node, p.Name, node), TTL: ttl,
		})
	}
	since := env.drain("n1")
	env.awaitNotice("drained: acknowledged", 2*time.Second)

	for range 3 {
		env.revokeNotice()
		env.awaitNotice("drained, lease revoked: notice back", time.Second)
	}
	leader, err := env.cluster.Leader(env.ctx)
	env.must(err)
	env.killMember(leader)
	env.must(env.cluster.AwaitReady(env.ctx))
	env.revokeNotice()
	env.awaitNotice("drained, leader killed and lease revoked: notice back", 3*time.Second)
	env.startEtcd()
	env.pause(p)
	env.untilGone(".out-of-service/n1", "greeter/n2")
	env.resume(p)
	env.awaitNotice("drained, process stopped past its TTL: notice back", time.Second)
	env.killEtcd()
	env.wait(2 * ttl)
	env.startEtcd()
	env.awaitNotice("drained, etcd away for twice the TTL: notice back", check.ProbeInterval)

	if at := env.putsSince(since, etcd.DefaultPrefix+"greeter/n1"); len(at) > 0 {
		t.Errorf("it was in service again at revisions %v", at)
	}
	env.closeAll()
	if left := env.awaitCleanup(); left != "" {
		t.Error(left)
	}
}

const noticeKey = etcd.DefaultPrefix + "greeter/.out-of-service/n1"

// drain takes a node of greeter's out of service, as the command does, and returns etcd's revision.
func (env *testEnv) drain(node string) (revision int64) {
	env.t.Helper()
	env.etcd("drain "+node, func(ctx context.Context, c *clientv3.Client) error {
		key := etcd.DefaultPrefix + "greeter/" + node
		found, err := c.Get(ctx, key)
		if err != nil {
			return err
		}
		if len(found.Kvs) == 0 {
			return fmt.Errorf("no key %s", key)
		}
		kv := found.Kvs[0]
		value, err := catalog.EncodeNotice(catalog.Notice{By: "chaos@here", Since: time.Now().UTC(), Record: kv.Value})
		if err != nil {
			return err
		}
		done, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision)).Then(
			clientv3.OpPut(noticeKey, string(value), clientv3.WithLease(clientv3.LeaseID(kv.Lease))),
			clientv3.OpDelete(key)).Commit()
		if err == nil && !done.Succeeded {
			err = fmt.Errorf("%s has changed", key)
		}
		if err == nil {
			revision = done.Header.Revision
		}
		return err
	})
	return revision
}

func (env *testEnv) revokeNotice() {
	env.t.Helper()
	env.revoke(strings.TrimPrefix(noticeKey, etcd.DefaultPrefix))
}

// awaitNotice measures how long after the last fault the notice is there, acknowledged, and no record.
func (env *testEnv) awaitNotice(what string, bound time.Duration) {
	env.t.Helper()
	env.measure(bound, what, func() bool {
		acknowledged := false
		err := env.cluster.Try(env.ctx, time.Second, func(ctx context.Context, c *clientv3.Client) error {
			found, err := c.Get(ctx, noticeKey)
			if err != nil || len(found.Kvs) == 0 {
				return err
			}
			n, err := catalog.DecodeNotice(found.Kvs[0].Value)
			acknowledged = err == nil && !n.Acknowledged.IsZero()
			return err
		})
		return err == nil && acknowledged
	})
	env.excuseFaults(bound)
}

// putsSince returns the revisions at which a key was put after one.
func (env *testEnv) putsSince(revision int64, key string) []int64 {
	env.t.Helper()
	var puts []int64
	env.must(env.cluster.Do(env.ctx, func(ctx context.Context, c *clientv3.Client) error {
		now, err := c.Put(ctx, cluster.ReadyKey, "history read")
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		puts = nil
		for answer := range c.Watch(ctx, "/", clientv3.WithPrefix(), clientv3.WithRev(revision+1)) {
			if err := answer.Err(); err != nil {
				return err
			}
			for _, e := range answer.Events {
				if string(e.Kv.Key) == key && e.Type == clientv3.EventTypePut {
					puts = append(puts, e.Kv.ModRevision)
				}
				if e.Kv.ModRevision >= now.Header.Revision {
					return nil
				}
			}
		}
		return ctx.Err()
	}))
	return puts
}
