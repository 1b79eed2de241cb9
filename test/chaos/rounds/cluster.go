package rounds

import (
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
	"github.com/micro-etcd/micro-etcd/test/relay"
)

// RelayedCluster is a cluster of three that rounds run on, one after the other. Registries reach each member over a
// relay, whoever checks them asks directly.
type RelayedCluster struct {
	etcd   *cluster.Cluster
	relays map[*cluster.Member]*relay.Relay
}

// starting is held while a cluster starts: many at a time take each other's processors.
var starting sync.Mutex

// Open starts a cluster for rounds.
func Open(ctx context.Context, dir string) (*RelayedCluster, error) {
	starting.Lock()
	defer starting.Unlock()
	etcd, err := cluster.Start(ctx, dir, 3)
	if err != nil {
		return nil, err
	}
	c := &RelayedCluster{etcd: etcd, relays: map[*cluster.Member]*relay.Relay{}}
	for _, m := range etcd.Members {
		at := cluster.Loopback(cluster.FreePort())
		if c.relays[m], err = relay.Start(at, m.ClientAddr, relay.NewLink(), nil); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Close leaves nothing running.
func (c *RelayedCluster) Close() {
	for _, r := range c.relays {
		if r != nil {
			r.End()
		}
	}
	c.etcd.Close()
}

// Log returns what the members said last, for humans.
func (c *RelayedCluster) Log() string { return c.etcd.Log() }

func (c *RelayedCluster) endpoints() []string {
	var all []string
	for _, m := range c.etcd.Members {
		all = append(all, c.relays[m].Address())
	}
	return all
}

// pickTarget returns the member that a round's fault is for, and the others.
func (c *RelayedCluster) pickTarget(
	ctx context.Context, r *Round,
) (target *cluster.Member, others []*cluster.Member, err error) {
	leader, err := c.etcd.Leader(ctx)
	if err != nil {
		return nil, nil, err
	}
	followers := without(c.etcd.Members, leader)
	target = leader
	if !r.leader {
		target = followers[r.follower]
	}
	return target, without(c.etcd.Members, target), nil
}

func without(members []*cluster.Member, one *cluster.Member) []*cluster.Member {
	return slices.DeleteFunc(slices.Clone(members), func(m *cluster.Member) bool { return m == one })
}

// setRTT gives every relay a round trip time.
func (c *RelayedCluster) setRTT(rtt time.Duration) {
	for _, r := range c.relays {
		r.Link.Heal()
		slow(r.Link, rtt)
	}
}

func slow(l *relay.Link, rtt time.Duration) {
	l.Slow(relay.ToServer, rtt/2)
	l.Slow(relay.ToClient, rtt/2)
}

func (c *RelayedCluster) inject(r *Round, target *cluster.Member) error {
	to := c.relays[target]
	switch r.fault {
	case roundKill:
		target.Stop(syscall.SIGKILL)
		to.Refuse()
	case roundFreeze:
		return target.Signal(syscall.SIGSTOP)
	case roundCut:
		to.Link.Hold(relay.ToServer, relay.ToClient)
	case roundCutHalf:
		to.Link.Hold([]relay.Direction{relay.ToServer, relay.ToClient}[r.direction])
	case roundSlow:
		slow(to.Link, r.rtt+r.added)
	case roundIsolate:
		for _, l := range c.etcd.PeerLinks(target) {
			l.Hold(relay.ToServer, relay.ToClient)
		}
	}
	return nil
}

// heal undoes any fault.
func (c *RelayedCluster) heal(r *Round, target *cluster.Member) error {
	if r.fault == roundFreeze {
		if err := target.Signal(syscall.SIGCONT); err != nil {
			return err
		}
	}
	for _, l := range c.etcd.PeerLinks(target) {
		l.Heal()
	}
	c.setRTT(r.rtt)
	return errors.Join(target.Start(), c.relays[target].Accept())
}

// awaitReady waits until every member takes writes.
func (c *RelayedCluster) awaitReady(ctx context.Context) error {
	for _, m := range c.etcd.Members {
		if _, err := c.writeDelay(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

const (
	writeEvery   = 100 * time.Millisecond
	writeTimeout = 20 * time.Second
)

// writeDelay returns how long it takes until etcd takes a write by one of the members. It is what an election takes, or
// else what a busy machine adds to each request.
func (c *RelayedCluster) writeDelay(ctx context.Context, members ...*cluster.Member) (time.Duration, error) {
	began := time.Now()
	var tries sync.WaitGroup
	defer tries.Wait()
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	done := make(chan struct{}, int(writeTimeout/writeEvery)+1)
	ticker := time.NewTicker(writeEvery)
	defer ticker.Stop()
	for i := 0; ; i++ {
		client, err := c.etcd.Client(members[i%len(members)])
		if err != nil {
			return 0, err
		}
		tries.Go(func() {
			if _, err := client.Put(ctx, cluster.ReadyKey, ""); err == nil {
				done <- struct{}{}
			}
		})
		select {
		case <-done:
			return time.Since(began), nil
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// count returns how many keys a prefix has.
func (c *RelayedCluster) count(ctx context.Context, m *cluster.Member, prefix string) (int64, error) {
	client, err := c.etcd.Client(m)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	got, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return got.Count, nil
}
