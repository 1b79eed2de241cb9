package promises

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/etcdtest"
)

// dense returns a service of many nodes.
func dense(name string, n int) *registry.Service {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("node-%04d", i)
	}
	return service(name, "1", ids...)
}

func keys(t testing.TB, c *clientv3.Client, prefix string) int {
	t.Helper()
	got, err := c.Get(ctx(t), prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	require.NoError(t, err)
	return int(got.Count)
}

// settles waits for the number of leases. One that a write went unanswered on is kept for up to 15 s, until
// that can't land any more.
func settles(t testing.TB, c *clientv3.Client, n int) {
	t.Helper()
	eventually(t, func() bool { return leases(t, c) == n }, fmt.Sprint("leases: ", n))
}

func TestSharedLease(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	provider := open(t, srv.Endpoints(), etcd.SharedLease())
	consumer := open(t, srv.Endpoints())
	all := dense("dense", 1000)
	ttl := registry.RegisterTTL(time.Minute)
	dir := etcd.DefaultPrefix + "dense/"

	before, err := client.Get(ctx(t), "x")
	require.NoError(t, err)
	require.NoError(t, provider.Register(all, ttl))
	require.Equal(t, 1000, keys(t, client, dir))
	require.Equal(t, 2, leases(t, client), "one lease for 512 records")
	after, err := client.Get(ctx(t), "x")
	require.NoError(t, err)
	assert.Less(t, after.Header.Revision-before.Header.Revision, int64(100), "a burst is written in few transactions")
	require.Equal(t, 1000, nodes(t, consumer, "dense"))

	t.Run("a revoked lease", func(t *testing.T) {
		granted, err := client.Leases(ctx(t))
		require.NoError(t, err)
		_, err = client.Revoke(ctx(t), granted.Leases[0].ID)
		require.NoError(t, err)
		eventually(t, func() bool { return keys(t, client, dir) == 1000 }, "all are back")
		require.Equal(t, 2, leases(t, client))
		eventually(t, func() bool { return nodes(t, consumer, "dense") == 1000 }, "for consumers too")
	})
	t.Run("a deleted directory", func(t *testing.T) {
		deleted, err := client.Delete(ctx(t), dir, clientv3.WithPrefix())
		require.NoError(t, err)
		require.EqualValues(t, 1000, deleted.Deleted)
		eventually(t, func() bool { return keys(t, client, dir) == 1000 }, "all are back")
		require.Equal(t, 2, leases(t, client))
	})
	t.Run("a deleted key, again and again", func(t *testing.T) {
		key := dir + all.Nodes[700].Id
		for i := range 10 {
			_, err := client.Delete(ctx(t), key)
			require.NoError(t, err)
			eventually(t, func() bool { return keys(t, client, key) == 1 }, fmt.Sprint("it is back, ", i))
		}
	})
	t.Run("another process takes an id and leaves", func(t *testing.T) {
		other := open(t, srv.Endpoints())
		mine := service("dense", "2", all.Nodes[3].Id)
		require.NoError(t, other.Register(mine, ttl))
		require.NoError(t, provider.Register(all, ttl), "a repeat is no fight")
		got, err := client.Get(ctx(t), dir+mine.Nodes[0].Id)
		require.NoError(t, err)
		require.Contains(t, string(got.Kvs[0].Value), `"version":"2"`)
		require.NoError(t, other.Close())
		eventually(t, func() bool { return keys(t, client, dir) == 1000 }, "whoever stood by is back")
	})
	t.Run("a change of the TTL, and of one record", func(t *testing.T) {
		one := service("dense", "3", all.Nodes[5].Id)
		require.NoError(t, provider.Register(one, registry.RegisterTTL(2*time.Minute)))
		require.Equal(t, 3, leases(t, client))
		require.NoError(t, provider.Register(one, ttl))
		settles(t, client, 2)
		require.Equal(t, 1000, keys(t, client, dir))
	})
	t.Run("deregistering", func(t *testing.T) {
		one := &registry.Service{Name: "dense", Nodes: all.Nodes[:1]}
		require.NoError(t, provider.Deregister(one))
		require.Equal(t, 999, keys(t, client, dir))
		settles(t, client, 2)
		require.NoError(t, provider.Deregister(all))
		require.Zero(t, keys(t, client, dir))
		settles(t, client, 0)
		require.NoError(t, provider.Register(all, ttl))
		require.NoError(t, provider.Close())
		require.Zero(t, keys(t, client, dir))
		require.Zero(t, leases(t, client))
	})
}

// A batch that etcd refuses because of one record must not fail the others.
func TestSharedLeaseKeepsAHugeRecordFromHurtingOthers(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	provider := open(t, srv.Endpoints(), etcd.SharedLease())
	all := dense("dense", 50)
	all.Nodes[20].Metadata = map[string]string{"huge": string(make([]byte, 2<<20))}
	err := provider.Register(all, registry.RegisterTTL(time.Minute))
	require.ErrorIs(t, err, etcd.ErrTooLarge)
	require.Contains(t, err.Error(), all.Nodes[20].Id)
	require.Equal(t, 49, keys(t, client, etcd.DefaultPrefix+"dense/"))
}
