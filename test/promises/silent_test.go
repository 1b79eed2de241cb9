package promises

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/relay"
)

// silence is how long a call may take that one silent member could hold up.
const silence = 2 * time.Second

// behind puts a relay in front of each server, and returns where they listen.
func behind(tb testing.TB, servers ...*etcdtest.Server) (endpoints []string, links []*relay.Link) {
	tb.Helper()
	for _, s := range servers {
		l := relay.NewLink()
		r, err := relay.Start("127.0.0.1:0", s.Endpoint(), l, nil)
		require.NoError(tb, err)
		tb.Cleanup(r.End)
		endpoints, links = append(endpoints, r.Address()), append(links, l)
	}
	return endpoints, links
}

func mute(l *relay.Link) { l.Hold(relay.ToServer, relay.ToClient) }

// soon asserts that a call succeeds within the time that it may take, from any goroutine.
func soon(tb testing.TB, d time.Duration, what string, call func() error) {
	tb.Helper()
	began := time.Now()
	err := call()
	took := time.Since(began).Round(time.Millisecond)
	if err != nil || took > d+time.Second { // the machine may be busy
		tb.Errorf("%s took %v, may take %v: %v", what, took, d, err)
	}
}

// Each of many processes meets one silent member, which some have their watch at, and others their leases.
func TestP6ASilentMemberHoldsUpNoRegisterDeregisterAndClose(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.StartCluster(t, 3)
	client := cluster.Client(t)
	ttl := registry.RegisterTTL(time.Minute)
	var all sync.WaitGroup
	for i := range 12 {
		endpoints, links := behind(t, cluster.Members...)
		r := open(t, endpoints)
		name := fmt.Sprint("silent-", i)
		require.NoError(t, r.Register(service(name, "1", "before"), ttl))
		all.Go(func() {
			mute(links[i%3])
			soon(t, silence, name+": Register", func() error { return r.Register(service(name, "1", "new"), ttl) })
			soon(t, silence, name+": Deregister", func() error { return r.Deregister(service(name, "1", "before")) })
			soon(t, silence, name+": Deregister of the new one", func() error { return r.Deregister(service(name, "1", "new")) })
			soon(t, silence, name+": Register again", func() error { return r.Register(service(name, "2", "new"), ttl) })
			soon(t, silence, name+": Close", r.Close)
		})
	}
	all.Wait()
	left, err := client.Get(ctx(t), etcd.DefaultPrefix+"silent-", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	require.NoError(t, err)
	var keys []string
	for _, kv := range left.Kvs {
		keys = append(keys, string(kv.Key))
	}
	assert.Empty(t, keys, "Close leaves nothing")
	assert.Zero(t, leases(t, client))
}

// Four calls at a time go to all three members.
func TestP6ASilentFollowerHoldsUpNoLookupsListsAndForeignDeregisters(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.StartCluster(t, 3)
	leader := 0
	for i, m := range cluster.Members {
		if m == cluster.Leader() {
			leader = i
		}
	}
	var names []string
	for i := range 12 {
		s := service(fmt.Sprint("stranger-", i), "1", "a")
		key, value := record(t, s)
		_, err := cluster.Client(t).Put(ctx(t), key, value)
		require.NoError(t, err)
		names = append(names, s.Name)
	}
	one := func(services []*registry.Service, err error) error {
		if err == nil && len(services) == 0 {
			err = registry.ErrNotFound
		}
		return err
	}
	var all sync.WaitGroup
	for what, call := range map[string]func(r *etcd.Registry, i int) error{
		"first lookup": func(r *etcd.Registry, i int) error { return one(r.GetService(names[i])) },
		"Linearizable": func(r *etcd.Registry, i int) error { return one(r.GetService(names[i], etcd.Linearizable())) },
		"ListServices": func(r *etcd.Registry, _ int) error { return one(r.ListServices()) },
		"Deregister of what isn't ours": func(r *etcd.Registry, i int) error {
			return r.Deregister(service("nobodys", "1", fmt.Sprint(i)))
		},
	} {
		endpoints, links := behind(t, cluster.Members...)
		r := open(t, endpoints)
		require.Zero(t, nodes(t, r, "warm"))
		all.Go(func() {
			mute(links[(leader+1)%3])
			for i := range names {
				all.Go(func() { soon(t, silence, fmt.Sprint(what, " ", i), func() error { return call(r, i) }) })
			}
		})
	}
	all.Wait()
}

func TestP6ASlowNetworkIsNotTakenForADeadOne(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	ttl := registry.RegisterTTL(time.Minute)
	for _, c := range []struct{ trip, timeout time.Duration }{
		{1200 * time.Millisecond, 5 * time.Second},
		{3 * time.Second, 30 * time.Second},
	} {
		t.Run(c.trip.String(), func(t *testing.T) {
			t.Parallel()
			endpoints, links := behind(t, srv)
			links[0].Slow(relay.ToServer, c.trip/2)
			links[0].Slow(relay.ToClient, c.trip/2)
			r := open(t, endpoints, registry.Timeout(c.timeout))
			name := "slow-" + c.trip.String()
			s := service(name, "1", "a")
			soon(t, c.timeout, "first lookup, with which it connects", func() error { _, err := r.ListServices(); return err })
			soon(t, c.timeout, "Register", func() error { return r.Register(s, ttl) })
			soon(t, c.timeout, "GetService", func() error {
				_, err := r.GetService(name)
				return err
			})
			soon(t, c.timeout, "Deregister", func() error { return r.Deregister(s) })
			require.Zero(t, keys(t, srv.Client(t), etcd.DefaultPrefix+name))
		})
	}
}
