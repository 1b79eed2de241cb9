package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/relay"
)

// The verbs. Each does one thing to the world, and returns when etcd, as far as that fault goes, can take everything
// again; those that last begin a fault, and another one ends it.

// What a fault is one of.
const (
	faultUser    = ""        // somebody who uses etcd as well
	faultProcess = "process" // etcd's processes: it may renew leases
	faultData    = "data"    // etcd's data: it may bring back what was gone, too
	faultPath    = "path"    // the network between a service and etcd
	faultService = "service" // a service's process
)

// fault carries a fault out, and notes it in the history.
func (w *world) fault(op string, f func() error, text string, args ...any) {
	w.t.Helper()
	e := event{At: time.Now(), Kind: kindFault, Op: op, Text: fmt.Sprintf(text, args...)}
	if w.since.IsZero() {
		w.since = e.At
	}
	w.lossy = w.lossy || op != faultUser
	w.must(f())
	w.ready = time.Now()
	e.Took = w.ready.Sub(e.At)
	w.history.add(e)
}

// Faults of etcd's processes.

func (w *world) killMember(m *member) {
	w.t.Helper()
	w.fault(faultProcess, func() error { m.end(syscall.SIGKILL); return nil }, "kill %s", m.name)
}

func (w *world) stopMember(m *member) {
	w.t.Helper()
	w.fault(faultProcess, func() error { m.end(syscall.SIGTERM); return nil }, "stop %s", m.name)
}

func (w *world) pauseMember(m *member) {
	w.t.Helper()
	w.fault(faultProcess, func() error { return m.signal(syscall.SIGSTOP) }, "pause %s", m.name)
}

func (w *world) resumeMember(m *member) {
	w.t.Helper()
	w.fault(faultProcess, func() error { return m.signal(syscall.SIGCONT) }, "continue %s", m.name)
}

func (w *world) killEtcd() {
	w.t.Helper()
	w.fault(faultProcess, func() error { w.cluster.kill(); return nil }, "kill all of etcd")
}

// startEtcd starts the members that don't run. What follows is measured from the moment at which etcd takes a write.
func (w *world) startEtcd() {
	w.t.Helper()
	w.fault(faultProcess, func() error { return w.cluster.start(w.ctx) }, "start etcd")
}

// Faults of etcd's data.

// wipe takes etcd's data away and starts it again.
func (w *world) wipe() {
	w.t.Helper()
	w.fault(faultData, func() error {
		w.cluster.kill()
		for _, m := range w.cluster.members {
			if err := os.RemoveAll(m.dir); err != nil {
				return err
			}
		}
		return w.cluster.start(w.ctx)
	}, "wipe etcd")
}

// snapshot saves etcd's data as they are now.
func (w *world) snapshot() string {
	w.t.Helper()
	path := filepath.Join(w.dir, "snapshot")
	w.must(w.cluster.snapshot(w.ctx, path))
	return path
}

// restore gives etcd the data of a snapshot and starts it again.
func (w *world) restore(snapshot string, args ...string) {
	w.t.Helper()
	w.fault(faultData, func() error {
		w.cluster.kill()
		for _, m := range w.cluster.members {
			if err := m.restore(w.ctx, w.cluster.initial, snapshot, args...); err != nil {
				return err
			}
		}
		return w.cluster.start(w.ctx)
	}, "restore etcd %s", strings.Join(args, " "))
}

func (w *world) compact() {
	w.t.Helper()
	w.etcd("compact", func(ctx context.Context, c *clientv3.Client) error {
		now, err := c.Get(ctx, ableKey)
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
func (w *world) etcd(text string, f func(context.Context, *clientv3.Client) error) {
	w.t.Helper()
	w.fault(faultUser, func() error { return w.cluster.do(w.ctx, f) }, "%s", text)
}

// revoke revokes the lease of a key.
func (w *world) revoke(key string) {
	w.t.Helper()
	w.etcd("revoke the lease of "+key, func(ctx context.Context, c *clientv3.Client) error {
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

func (w *world) delete(key string) {
	w.t.Helper()
	w.etcd("delete "+key, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Delete(ctx, etcd.DefaultPrefix+key)
		return err
	})
}

func (w *world) deleteAll() {
	w.t.Helper()
	w.etcd("delete everything", func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Delete(ctx, etcd.DefaultPrefix, clientv3.WithPrefix())
		return err
	})
}

// junk overwrites a key with what is no record.
func (w *world) junk(key string) {
	w.t.Helper()
	w.etcd("junk at "+key, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Put(ctx, etcd.DefaultPrefix+key, "junk")
		return err
	})
}

const fillKey = "/chaos/fill/"

// fill writes until etcd has no space. The cluster needs a --quota-backend-bytes.
func (w *world) fill() {
	w.t.Helper()
	big := strings.Repeat("x", 256<<10)
	w.etcd("fill", func(ctx context.Context, c *clientv3.Client) error {
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
func (w *world) unfill() {
	w.t.Helper()
	w.etcd("clear", func(ctx context.Context, c *clientv3.Client) error {
		gone, err := c.Delete(ctx, fillKey, clientv3.WithPrefix())
		if err != nil {
			return err
		}
		if _, err := c.Compact(ctx, gone.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
			return err
		}
		for _, m := range w.cluster.members {
			if _, err := c.Defragment(ctx, m.client); err != nil {
				return err
			}
		}
		if _, err := c.AlarmDisarm(ctx, &clientv3.AlarmMember{}); err != nil {
			return err
		}
		return w.cluster.able(ctx)
	})
}

// Faults of the network, between one process and some members, or all.

// blackHole holds what goes between a process and a member, in the given directions.
func (w *world) blackHole(p *process, members []*member, ways ...relay.Direction) {
	w.t.Helper()
	for _, r := range w.ways[p.name] {
		for _, m := range members {
			if r.Target == m.client {
				w.fault(faultPath, func() error { r.Link.Hold(ways...); return nil }, "black hole %v between %s and %s", ways, p.name, m.name)
			}
		}
	}
}

// slow delays what goes between a process and all members.
func (w *world) slow(p *process, way relay.Direction, by time.Duration) {
	w.t.Helper()
	for _, r := range w.ways[p.name] {
		w.fault(faultPath, func() error { r.Link.Slow(way, by); return nil }, "delay %v for %s by %v", way, p.name, by)
	}
}

// cut breaks a process's connections and refuses new ones.
func (w *world) cut(p *process) {
	w.t.Helper()
	for _, r := range w.ways[p.name] {
		w.fault(faultPath, func() error { r.Refuse(); return nil }, "cut %s off", p.name)
	}
}

// reset breaks a process's connections once.
func (w *world) reset(p *process) {
	w.t.Helper()
	for _, r := range w.ways[p.name] {
		w.fault(faultPath, func() error { r.Reset(); return nil }, "reset the connections of %s", p.name)
	}
}

// connect undoes whatever was done to the network of a process.
func (w *world) connect(p *process) {
	w.t.Helper()
	for _, r := range w.ways[p.name] {
		w.fault(faultPath, func() error { r.Link.Heal(); return r.Accept() }, "connect %s", p.name)
	}
}

// isolate holds everything between a member and the others.
func (w *world) isolate(m *member) {
	w.t.Helper()
	w.fault(faultProcess, func() error {
		for _, l := range w.cluster.between(m) {
			l.Hold(relay.ToServer, relay.ToClient)
		}
		return nil
	}, "isolate %s", m.name)
}

func (w *world) rejoin(m *member) {
	w.t.Helper()
	w.fault(faultProcess, func() error {
		for _, l := range w.cluster.between(m) {
			l.Heal()
		}
		return nil
	}, "rejoin %s", m.name)
}

// Faults of service processes.

func (w *world) pause(p *process) {
	w.t.Helper()
	w.fault(faultService, p.pause, "pause %s", p.name)
}

func (w *world) resume(p *process) {
	w.t.Helper()
	w.fault(faultService, p.resume, "continue %s", p.name)
}
