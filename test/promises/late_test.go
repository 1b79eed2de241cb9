package promises

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// A request that was sent to a silent member, and again to another one, arrives in the end. By then others may have
// written what it was about.

func ids(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("n", i)
	}
	return all
}

func TestP3APutThatArrivesLateTakesNoIDBack(t *testing.T) {
	cluster := etcdtest.StartCluster(t, 3)
	endpoints, links := behind(t, cluster.Members...)
	old, fresh := open(t, endpoints), open(t, cluster.Endpoints())
	ttl := registry.RegisterTTL(30 * time.Second)
	require.NoError(t, old.Register(service("greeter", "1", ids(12)...), ttl))
	mute(links[1])
	require.NoError(t, old.Register(service("greeter", "2", ids(12)...), ttl))
	require.NoError(t, fresh.Register(service("greeter", "3", ids(12)...), ttl))
	links[1].Heal()
	// What was held is served in the order in which it came, so this comes after it.
	settle(t, cluster.Members[1])
	for _, g := range fresh.Status().Registrations {
		require.Equal(t, "registered", g.State)
	}
}

func TestP3ADeregisterThatArrivesLateRemovesNoNewOwner(t *testing.T) {
	cluster := etcdtest.StartCluster(t, 3)
	endpoints, links := behind(t, cluster.Members...)
	tool, first, owner := open(t, endpoints), open(t, cluster.Endpoints()), open(t, cluster.Endpoints())
	ttl := registry.RegisterTTL(30 * time.Second)
	require.NoError(t, first.Register(service("greeter", "1", ids(12)...), ttl))
	_, err := tool.ListServices()
	require.NoError(t, err)
	mute(links[1])
	require.NoError(t, tool.Deregister(service("greeter", "1", ids(12)...)))
	require.NoError(t, first.Close())
	require.NoError(t, owner.Register(service("greeter", "2", ids(12)...), ttl))
	missing := deletes(t, cluster.Client(t))
	links[1].Heal()
	settle(t, cluster.Members[1])
	require.Empty(t, missing())
}

// settle waits until a member has served what it was sent, as far as it can be told.
func settle(tb testing.TB, member *etcdtest.Server) {
	tb.Helper()
	for range 20 {
		_, err := member.Client(tb).Put(ctx(tb), "/elsewhere", "")
		require.NoError(tb, err)
	}
}

// deletes watches for keys that go, until the function it returns is called, which returns them.
func deletes(tb testing.TB, c *clientv3.Client) func() []string {
	tb.Helper()
	watching, stop := context.WithCancel(clientv3.WithRequireLeader(tb.Context()))
	events := c.Watch(watching, etcd.DefaultPrefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-events
	return func() []string {
		defer stop()
		end, err := c.Put(ctx(tb), etcd.DefaultPrefix+"~", "") // the last one
		require.NoError(tb, err)
		var gone []string
		for answer := range events {
			require.NoError(tb, answer.Err())
			for _, e := range answer.Events {
				if e.Type == clientv3.EventTypeDelete {
					gone = append(gone, string(e.Kv.Key))
				}
				if e.Kv.ModRevision == end.Header.Revision {
					return gone
				}
			}
		}
		tb.Fatal("the watch ended")
		return nil
	}
}

// A put whose record has changed meanwhile must not move the key to a lease that is then revoked.
func TestP2ATTLThatChangesAllTheTimeCostsNoRecord(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.StartCluster(t, 3)
	r := open(t, cluster.Endpoints())
	require.NoError(t, r.Register(service("greeter", "1", "a"), registry.RegisterTTL(time.Minute)))
	missing := deletes(t, cluster.Client(t))
	var changing sync.WaitGroup
	for g := range 2 {
		changing.Go(func() {
			for i := range 300 {
				ttl := time.Minute + time.Duration((2*i+g)%4)*time.Second
				if err := r.Register(service("greeter", "1", "a"), registry.RegisterTTL(ttl)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	changing.Wait()
	require.Empty(t, missing())
}

func TestP3ADeregisterDuringARegisterLeavesNoLease(t *testing.T) {
	srv := etcdtest.Start(t)
	r := open(t, srv.Endpoints())
	require.NoError(t, r.Register(service("greeter", "1", "warm")))
	for i := range 50 {
		s := service("greeter", "1", fmt.Sprint("n", i))
		registered := make(chan struct{})
		go func() { defer close(registered); _ = r.Register(s) }()
		for range rand.IntN(20) {
			_ = r.Status() // takes some microseconds
		}
		require.NoError(t, r.Deregister(s))
		<-registered
		require.NoError(t, r.Deregister(s))
	}
	require.NoError(t, r.Close())
	require.Zero(t, leases(t, srv.Client(t)))
}

// The deadline of a call may end while another one takes up the client.
func TestP6ACallersClientIsTakenUpBesideDeadlinesThatEnd(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	for range 200 {
		r, err := etcd.New(etcd.Client(client))
		require.NoError(t, err)
		var calls sync.WaitGroup
		for range 4 {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(200))*time.Microsecond)
				defer cancel()
				_, _ = r.Client(ctx)
			})
		}
		calls.Wait()
		require.NoError(t, r.Close())
	}
}
