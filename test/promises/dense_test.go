package promises

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// dense returns a service of many nodes.
func dense(name string, n int) *registry.Service {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("node-%04d", i)
	}
	return service(name, "1", ids...)
}

func keys(tb testing.TB, c *clientv3.Client, prefix string) int {
	tb.Helper()
	got, err := c.Get(ctx(tb), prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	require.NoError(tb, err)
	return int(got.Count)
}

func TestP2AProcessOfAThousandNodes(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	provider := open(t, srv.Endpoints(), registry.Timeout(5*time.Minute)) // for a thousand leases and keys
	consumer := open(t, srv.Endpoints())
	all := dense("dense", 1000)
	ttl := registry.RegisterTTL(time.Minute)
	dir := etcd.DefaultPrefix + "dense/"
	require.NoError(t, provider.Register(all, ttl))
	require.Equal(t, 1000, keys(t, client, dir))
	// A grant that was repeated has left another one, which is revoked in the background.
	eventually(t, func() bool { return leases(t, client) == 1000 }, "one lease for each")
	require.Equal(t, 1000, nodes(t, consumer, "dense"))

	t.Run("revoked leases", func(t *testing.T) {
		granted, err := client.Leases(ctx(t))
		require.NoError(t, err)
		for _, l := range granted.Leases[:100] {
			_, err = client.Revoke(ctx(t), l.ID)
			require.NoError(t, err)
		}
		eventually(t, func() bool { return keys(t, client, dir) == 1000 && leases(t, client) == 1000 }, "all are back")
		eventually(t, func() bool { return nodes(t, consumer, "dense") == 1000 }, "for consumers too")
	})
	t.Run("a deleted directory", func(t *testing.T) {
		deleted, err := client.Delete(ctx(t), dir, clientv3.WithPrefix())
		require.NoError(t, err)
		require.EqualValues(t, 1000, deleted.Deleted)
		eventually(t, func() bool { return keys(t, client, dir) == 1000 }, "all are back")
	})
	t.Run("a deleted key, again and again", func(t *testing.T) {
		key := dir + all.Nodes[700].Id
		for i := range 10 {
			_, err := client.Delete(ctx(t), key)
			require.NoError(t, err)
			eventually(t, func() bool { return keys(t, client, key) == 1 }, fmt.Sprint("it is back, ", i))
		}
	})
	t.Run("a change of the TTL", func(t *testing.T) {
		one := service("dense", "3", all.Nodes[5].Id)
		require.NoError(t, provider.Register(one, registry.RegisterTTL(2*time.Minute)))
		eventually(t, func() bool { return leases(t, client) == 1000 }, "the former lease is revoked")
		require.Equal(t, 1000, keys(t, client, dir))
	})
	t.Run("closing", func(t *testing.T) {
		require.NoError(t, provider.Close())
		require.Zero(t, keys(t, client, dir))
		require.Zero(t, leases(t, client))
	})
}
