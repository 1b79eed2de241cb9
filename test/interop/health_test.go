package interop

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

var keys = catalog.Keyspace{Prefix: etcd.DefaultPrefix}

// drain does the transaction with which the command takes a node out of service.
func drain(tb testing.TB, c *clientv3.Client, name, id string) {
	tb.Helper()
	key := keys.Node(name, id)
	got, err := c.Get(tb.Context(), key)
	require.NoError(tb, err)
	require.Len(tb, got.Kvs, 1)
	value, err := catalog.EncodeNotice(
		catalog.Notice{Reason: "deploy", By: "test", Since: time.Now().UTC(), Record: got.Kvs[0].Value},
	)
	require.NoError(tb, err)
	done, err := c.Txn(tb.Context()).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", got.Kvs[0].ModRevision)).
		Then(clientv3.OpPut(keys.Notice(key), string(value), clientv3.WithLease(clientv3.LeaseID(got.Kvs[0].Lease))),
			clientv3.OpDelete(key)).Commit()
	require.NoError(tb, err)
	require.True(tb, done.Succeeded)
}

func undrain(tb testing.TB, c *clientv3.Client, name, id string) {
	tb.Helper()
	key := keys.Node(name, id)
	n, kv := notice(tb, c, name, id)
	require.NotNil(tb, n)
	done, err := c.Txn(tb.Context()).
		If(clientv3.Compare(clientv3.ModRevision(keys.Notice(key)), "=", kv),
			clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpDelete(keys.Notice(key)),
			clientv3.OpPut(key, string(n.Record), clientv3.WithLease(lease(tb, c, keys.Notice(key))))).Commit()
	require.NoError(tb, err)
	require.True(tb, done.Succeeded)
}

func lease(tb testing.TB, c *clientv3.Client, key string) clientv3.LeaseID {
	tb.Helper()
	got, err := c.Get(tb.Context(), key)
	require.NoError(tb, err)
	require.Len(tb, got.Kvs, 1)
	return clientv3.LeaseID(got.Kvs[0].Lease)
}

// notice returns a node's notice, nil for none, and the revision of its last change.
func notice(tb testing.TB, c *clientv3.Client, name, id string) (*catalog.Notice, int64) {
	tb.Helper()
	got, err := c.Get(context.WithoutCancel(tb.Context()), keys.Notice(keys.Node(name, id)))
	require.NoError(tb, err)
	if len(got.Kvs) == 0 {
		return nil, 0
	}
	n, err := catalog.DecodeNotice(got.Kvs[0].Value)
	require.NoError(tb, err)
	return n, got.Kvs[0].ModRevision
}

// A notice is nothing to the other plugins, in lookups and in events, as providers and as consumers.
func TestANoticeHurtsNobody(t *testing.T) {
	pairs(t, others, func(t *testing.T, provider, consumer string) {
		s := startServer(t, usual)
		etcd := s.client(t)
		p, c := startPeer(t, provider, s.address()), startPeer(t, consumer, s.address())
		a, b := service("greeter", "1", "a"), service("greeter", "1", "b")
		p.register(t, a, lifetime)
		p.register(t, b, lifetime)
		c.sees(t, "greeter", "a@1", "b@1")
		c.watch(t, "greeter")
		drain(t, etcd, "greeter", "a")
		c.sees(t, "greeter", "b@1")
		if provider == ours {
			eventually(t, func() bool {
				n, _ := notice(t, etcd, "greeter", "a")
				return !n.Acknowledged.IsZero()
			}, "the drain is acknowledged")
		}
		beat := time.NewTicker(lifetime / 3)
		defer beat.Stop()
		for end := time.Now().Add(2 * lifetime); time.Now().Before(end); <-beat.C { // heartbeats change nothing
			p.register(t, a, lifetime)
			p.register(t, b, lifetime)
			require.Equal(t, []string{"b@1"}, c.nodes(t, "greeter"))
		}
		var all []*registry.Service
		c.must(t, listAll(), &all)
		require.Equal(t, []string{"b@1"}, idsOf(all))
		undrain(t, etcd, "greeter", "a")
		c.sees(t, "greeter", "a@1", "b@1")
		drain(t, etcd, "greeter", "a")
		c.sees(t, "greeter", "b@1")
		p.deregister(t, a)
		p.deregister(t, b)
		c.sees(t, "greeter")
		if provider == "v5" { // which goes on renewing the lease of what it has deregistered
			p.kill()
		}
		eventually(t, func() bool {
			n, _ := notice(t, etcd, "greeter", "a")
			return n == nil
		}, "the notice goes with its lease")
		c.hears(t, "delete a@1", "create a@1", "delete a@1", "delete b@1")
	})
}

// Another process takes a fixed id while the notice of the one before is still there: it is in service, and stays.
func TestARestartWithAFixedIDOfADrainedNode(t *testing.T) {
	pairs(t, others, func(t *testing.T, before, after string) {
		s := startServer(t, usual)
		old, c := startPeer(t, before, s.address()), startPeer(t, ours, s.address())
		old.register(t, service("greeter", "1", "a"), lifetime)
		c.sees(t, "greeter", "a@1")
		drain(t, s.client(t), "greeter", "a")
		c.sees(t, "greeter")
		old.kill()
		restarted := startPeer(t, after, s.address())
		next := service("greeter", "2", "a")
		restarted.register(t, next, lifetime)
		c.sees(t, "greeter", "a@2")
		beat := time.NewTicker(lifetime / 3)
		defer beat.Stop()
		for end := time.Now().Add(2 * lifetime); time.Now().Before(end); <-beat.C {
			restarted.register(t, next, lifetime)
			require.Equal(t, []string{"a@2"}, c.nodes(t, "greeter"))
		}
		n, _ := notice(t, s.client(t), "greeter", "a")
		require.Nil(t, n)
	})
}
