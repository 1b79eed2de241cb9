package chaos

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/process"
	"github.com/micro-etcd/micro-etcd/test/relay"
)

// The verbs. Each does one thing to the environment, and returns when etcd, as far as that fault goes, can take
// everything again; those that last begin a fault, and another one ends it.

// fault carries a fault out, and notes it in the history.
func (env *testEnv) fault(op string, f func() error, text string, args ...any) {
	env.t.Helper()
	e := history.Event{At: time.Now(), Kind: history.KindFault, Op: op, Text: fmt.Sprintf(text, args...)}
	if env.since.IsZero() {
		env.since = e.At
	}
	env.lossy = env.lossy || op != history.FaultUser
	env.must(f())
	env.ready = time.Now()
	e.Took = env.ready.Sub(e.At)
	env.history.Add(e)
}

// Faults of etcd's processes.

func (env *testEnv) killMember(m *cluster.Member) {
	env.t.Helper()
	env.fault(history.FaultProcess, func() error { m.Stop(syscall.SIGKILL); return nil }, "kill %s", m.Name)
}

func (env *testEnv) stopMember(m *cluster.Member) {
	env.t.Helper()
	env.fault(history.FaultProcess, func() error { m.Stop(syscall.SIGTERM); return nil }, "stop %s", m.Name)
}

func (env *testEnv) pauseMember(m *cluster.Member) {
	env.t.Helper()
	env.fault(history.FaultProcess, func() error { return m.Signal(syscall.SIGSTOP) }, "pause %s", m.Name)
}

func (env *testEnv) resumeMember(m *cluster.Member) {
	env.t.Helper()
	env.fault(history.FaultProcess, func() error { return m.Signal(syscall.SIGCONT) }, "continue %s", m.Name)
}

func (env *testEnv) killEtcd() {
	env.t.Helper()
	env.fault(history.FaultProcess, func() error { env.cluster.Kill(); return nil }, "kill all of etcd")
}

// startEtcd starts the members that don't run. What follows is measured from the moment at which etcd takes a write.
func (env *testEnv) startEtcd() {
	env.t.Helper()
	env.fault(history.FaultProcess, func() error { return env.cluster.Start(env.ctx) }, "start etcd")
}

// Faults of etcd's data.

// wipe takes etcd's data away and starts it again.
func (env *testEnv) wipe() {
	env.t.Helper()
	env.fault(history.FaultData, func() error { return env.cluster.Wipe(env.ctx) }, "wipe etcd")
}

// snapshot saves etcd's data as they are now.
func (env *testEnv) snapshot() string {
	env.t.Helper()
	path := filepath.Join(env.dir, "snapshot")
	env.must(env.cluster.Snapshot(env.ctx, path))
	return path
}

// restore gives etcd the data of a snapshot and starts it again.
func (env *testEnv) restore(snapshot string, args ...string) {
	env.t.Helper()
	env.fault(history.FaultData, func() error {
		return env.cluster.Restore(env.ctx, snapshot, args...)
	}, "restore etcd %s", strings.Join(args, " "))
}

func (env *testEnv) compact() {
	env.t.Helper()
	env.etcd("compact", func(ctx context.Context, c *clientv3.Client) error {
		now, err := c.Get(ctx, cluster.ReadyKey)
		if err != nil {
			return err
		}
		_, err = c.Compact(ctx, now.Header.Revision, clientv3.WithCompactPhysical())
		if errors.Is(err, rpctypes.ErrCompacted) {
			return nil
		}
		return err
	})
}

// Faults by somebody who uses etcd as well.

// etcd does something to etcd by a client.
func (env *testEnv) etcd(text string, f func(context.Context, *clientv3.Client) error) {
	env.t.Helper()
	env.fault(history.FaultUser, func() error { return env.cluster.Do(env.ctx, f) }, "%s", text)
}

// revoke revokes the lease of a key.
func (env *testEnv) revoke(key string) {
	env.t.Helper()
	env.etcd("revoke the lease of "+key, func(ctx context.Context, c *clientv3.Client) error {
		found, err := c.Get(ctx, etcd.DefaultPrefix+key)
		if err != nil {
			return err
		}
		if len(found.Kvs) == 0 || found.Kvs[0].Lease == 0 {
			return fmt.Errorf("no key %s with a lease", key)
		}
		_, err = c.Revoke(ctx, clientv3.LeaseID(found.Kvs[0].Lease))
		return err
	})
}

func (env *testEnv) delete(key string) {
	env.t.Helper()
	env.etcd("delete "+key, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Delete(ctx, etcd.DefaultPrefix+key)
		return err
	})
}

func (env *testEnv) deleteAll() {
	env.t.Helper()
	env.etcd("delete everything", func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Delete(ctx, etcd.DefaultPrefix, clientv3.WithPrefix())
		return err
	})
}

// junk overwrites a key with what is no record.
func (env *testEnv) junk(key string) {
	env.t.Helper()
	env.etcd("junk at "+key, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Put(ctx, etcd.DefaultPrefix+key, "junk")
		return err
	})
}

const fillKey = "/chaos/fill/"

// fill writes until etcd has no space. The cluster needs a --quota-backend-bytes.
func (env *testEnv) fill() {
	env.t.Helper()
	big := strings.Repeat("x", 256<<10)
	env.etcd("fill", func(ctx context.Context, c *clientv3.Client) error {
		for i := 0; ; i++ {
			if _, err := c.Put(ctx, fmt.Sprint(fillKey, i), big); errors.Is(err, rpctypes.ErrNoSpace) {
				return nil
			} else if err != nil {
				return err
			}
		}
	})
}

// unfill undoes fill as an administrator would.
func (env *testEnv) unfill() {
	env.t.Helper()
	env.etcd("clear", func(ctx context.Context, c *clientv3.Client) error {
		gone, err := c.Delete(ctx, fillKey, clientv3.WithPrefix())
		if err != nil {
			return err
		}
		if _, err := c.Compact(ctx, gone.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
			return err
		}
		for _, m := range env.cluster.Members {
			if _, err := c.Defragment(ctx, m.ClientAddr); err != nil {
				return err
			}
		}
		if _, err := c.AlarmDisarm(ctx, &clientv3.AlarmMember{}); err != nil {
			return err
		}
		return env.cluster.AwaitReady(ctx)
	})
}

// Faults of the network, between one process and some members, or all.

// blackHole holds what goes between a process and a member, in the given directions.
func (env *testEnv) blackHole(p *process.Process, members []*cluster.Member, directions ...relay.Direction) {
	env.t.Helper()
	for _, r := range env.relays[p.Name] {
		for _, m := range members {
			if r.Target == m.ClientAddr {
				hold := func() error { r.Link.Hold(directions...); return nil }
				env.fault(history.FaultPath, hold, "black hole %v between %s and %s", directions, p.Name, m.Name)
			}
		}
	}
}

// slow delays what goes between a process and all members.
func (env *testEnv) slow(p *process.Process, direction relay.Direction, by time.Duration) {
	env.t.Helper()
	for _, r := range env.relays[p.Name] {
		slow := func() error { r.Link.Slow(direction, by); return nil }
		env.fault(history.FaultPath, slow, "delay %v for %s by %v", direction, p.Name, by)
	}
}

// cut breaks a process's connections and refuses new ones.
func (env *testEnv) cut(p *process.Process) {
	env.t.Helper()
	for _, r := range env.relays[p.Name] {
		env.fault(history.FaultPath, func() error { r.Refuse(); return nil }, "cut %s off", p.Name)
	}
}

// reset breaks a process's connections once.
func (env *testEnv) reset(p *process.Process) {
	env.t.Helper()
	for _, r := range env.relays[p.Name] {
		env.fault(history.FaultPath, func() error { r.Reset(); return nil }, "reset the connections of %s", p.Name)
	}
}

// connect undoes whatever was done to the network of a process.
func (env *testEnv) connect(p *process.Process) {
	env.t.Helper()
	for _, r := range env.relays[p.Name] {
		env.fault(history.FaultPath, func() error { r.Link.Heal(); return r.Accept() }, "connect %s", p.Name)
	}
}

// isolate holds everything between a member and the others.
func (env *testEnv) isolate(m *cluster.Member) {
	env.t.Helper()
	env.fault(history.FaultProcess, func() error {
		for _, l := range env.cluster.PeerLinks(m) {
			l.Hold(relay.ToServer, relay.ToClient)
		}
		return nil
	}, "isolate %s", m.Name)
}

func (env *testEnv) rejoin(m *cluster.Member) {
	env.t.Helper()
	env.fault(history.FaultProcess, func() error {
		for _, l := range env.cluster.PeerLinks(m) {
			l.Heal()
		}
		return nil
	}, "rejoin %s", m.Name)
}

// Faults of service processes.

func (env *testEnv) pause(p *process.Process) {
	env.t.Helper()
	env.fault(history.FaultService, p.Pause, "pause %s", p.Name)
}

func (env *testEnv) resume(p *process.Process) {
	env.t.Helper()
	env.fault(history.FaultService, p.Resume, "continue %s", p.Name)
}

// kill kills a process. Its records are no longer wanted.
func (env *testEnv) kill(p *process.Process) {
	env.fault(history.FaultService, func() error { p.Kill(); return nil }, "kill %s", p.Name)
	env.unwant(p)
}
