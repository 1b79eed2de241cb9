package chaos

import (
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/test/relay"
)

// arena is a cluster of three that rounds are held in, one after the other. Registries reach each member over a relay,
// whoever checks them asks directly.
type arena struct {
	cluster *cluster
	ways    map[*member]*relay.Relay
}

// starting is held while a cluster starts: many at a time take each other's processors.
var starting sync.Mutex

func openArena(ctx context.Context, dir string) (*arena, error) {
	starting.Lock()
	defer starting.Unlock()
	c, err := startCluster(ctx, dir, 3)
	if err != nil {
		return nil, err
	}
	a := &arena{cluster: c, ways: map[*member]*relay.Relay{}}
	for _, m := range c.members {
		if a.ways[m], err = relay.Start(loopback(freePort()), m.client, relay.NewLink(), nil); err != nil {
			a.close()
			return nil, err
		}
	}
	return a, nil
}

func (a *arena) close() {
	for _, way := range a.ways {
		if way != nil {
			way.End()
		}
	}
	a.cluster.end()
}

func (a *arena) endpoints() []string {
	var all []string
	for _, m := range a.cluster.members {
		all = append(all, a.ways[m].Address())
	}
	return all
}

// victim returns the member that a round's fault is for, and the others.
func (a *arena) victim(ctx context.Context, r *round) (victim *member, others []*member, err error) {
	leader, err := a.cluster.leader(ctx)
	if err != nil {
		return nil, nil, err
	}
	followers := slices.DeleteFunc(slices.Clone(a.cluster.members), func(m *member) bool { return m == leader })
	victim = leader
	if !r.leader {
		victim = followers[r.follower]
	}
	return victim, slices.DeleteFunc(slices.Clone(a.cluster.members), func(m *member) bool { return m == victim }), nil
}

// trip gives every way a round trip.
func (a *arena) trip(trip time.Duration) {
	for _, way := range a.ways {
		way.Link.Heal()
		slow(way.Link, trip)
	}
}

func slow(l *relay.Link, trip time.Duration) {
	l.Slow(relay.ToServer, trip/2)
	l.Slow(relay.ToClient, trip/2)
}

func (a *arena) strike(r *round, victim *member) error {
	way := a.ways[victim]
	switch r.fault {
	case roundKill:
		victim.end(syscall.SIGKILL)
		way.Refuse()
	case roundFreeze:
		return victim.signal(syscall.SIGSTOP)
	case roundCut:
		way.Link.Hold(relay.ToServer, relay.ToClient)
	case roundCutHalf:
		way.Link.Hold([]relay.Direction{relay.ToServer, relay.ToClient}[r.way])
	case roundSlow:
		slow(way.Link, r.trip+r.added)
	case roundIsolate:
		for _, l := range a.cluster.between(victim) {
			l.Hold(relay.ToServer, relay.ToClient)
		}
	}
	return nil
}

// repair undoes any fault.
func (a *arena) repair(r *round, victim *member) error {
	if r.fault == roundFreeze {
		if err := victim.signal(syscall.SIGCONT); err != nil {
			return err
		}
	}
	for _, l := range a.cluster.between(victim) {
		l.Heal()
	}
	a.trip(r.trip)
	return errors.Join(victim.start(), a.ways[victim].Accept())
}

// whole waits until every member takes writes.
func (a *arena) whole(ctx context.Context) error {
	for _, m := range a.cluster.members {
		if _, err := a.able(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

const (
	ableEvery    = 100 * time.Millisecond
	ablePatience = 20 * time.Second
)

// able returns how long it takes until etcd takes a write by one of the members. It is what an election takes, or else
// what a busy machine adds to each request.
func (a *arena) able(ctx context.Context, members ...*member) (time.Duration, error) {
	began := time.Now()
	var tries sync.WaitGroup
	defer tries.Wait()
	ctx, cancel := context.WithTimeout(ctx, ablePatience)
	defer cancel()
	done := make(chan struct{}, int(ablePatience/ableEvery)+1)
	ticker := time.NewTicker(ableEvery)
	defer ticker.Stop()
	for i := 0; ; i++ {
		client, err := a.cluster.direct(members[i%len(members)])
		if err != nil {
			return 0, err
		}
		tries.Go(func() {
			if _, err := client.Put(ctx, ableKey, ""); err == nil {
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

// has returns how many keys a prefix has.
func (a *arena) has(ctx context.Context, m *member, prefix string) (int64, error) {
	client, err := a.cluster.direct(m)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, ablePatience)
	defer cancel()
	got, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return got.Count, nil
}
