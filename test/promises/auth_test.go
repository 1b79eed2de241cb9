package promises

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/auth"
)

const password = "hunter2"

// guarded is an etcd with the users root and provider. The latter may read and write both directories.
func guarded(tb testing.TB, dirs ...string) (srv *etcdtest.Server, root *clientv3.Client) {
	tb.Helper()
	srv = etcdtest.Start(tb, func(c *embed.Config) { c.BcryptCost = 4 })
	c := srv.Client(tb)
	for _, user := range []string{"root", "provider"} {
		_, err := c.UserAdd(ctx(tb), user, password)
		require.NoError(tb, err)
		_, err = c.RoleAdd(ctx(tb), user)
		require.NoError(tb, err)
		_, err = c.UserGrantRole(ctx(tb), user, user)
		require.NoError(tb, err)
	}
	for _, dir := range dirs {
		_, err := c.RoleGrantPermission(
			ctx(tb), "provider", dir, clientv3.GetPrefixRangeEnd(dir), clientv3.PermissionType(clientv3.PermReadWrite),
		)
		require.NoError(tb, err)
	}
	_, err := c.AuthEnable(ctx(tb))
	require.NoError(tb, err)
	root, err = clientv3.New(clientv3.Config{Endpoints: srv.Endpoints(), Username: "root", Password: password})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = root.Close() })
	return srv, root
}

// Since 3.6.9 etcd doesn't renew leases with keys that the user may not write, and ends the stream that asked.
func TestP2ManyRefusedRenewalsCostNoOtherRecord(t *testing.T) {
	t.Parallel()
	const allowed, forbidden = etcd.DefaultPrefix + "allowed/", etcd.DefaultPrefix + "forbidden/"
	srv, root := guarded(t, allowed, forbidden)
	r := open(t, srv.Endpoints(), etcd.Auth("provider", password), registry.Timeout(30*time.Second))
	ttl := registry.RegisterTTL(10 * time.Second)
	require.NoError(t, r.Register(dense("allowed", 30), ttl))
	require.NoError(t, r.Register(dense("forbidden", 200), ttl))
	changes := root.Watch(t.Context(), allowed, clientv3.WithPrefix())
	_, err := root.RoleRevokePermission(ctx(t), "provider", forbidden, clientv3.GetPrefixRangeEnd(forbidden))
	require.NoError(t, err)

	began, over := time.Now(), time.After(time.Minute)
	lost := map[string]string{} // when each record ran out last
	for watching := true; watching; {
		select {
		case change := <-changes:
			require.NoError(t, change.Err())
			for _, e := range change.Events {
				if e.Type == clientv3.EventTypeDelete {
					lost[string(e.Kv.Key)] = time.Since(began).Round(time.Millisecond).String()
				}
			}
		case <-over:
			watching = false
		}
	}
	require.Empty(t, lost, "records that ran out, and when")
	require.Equal(t, 30, keys(t, root, allowed))
	require.Zero(t, keys(t, root, forbidden), "this etcd renews what may not be written")
}

func TestP6AWrongPasswordIsToldAtOnceAndNotTriedAtEveryCall(t *testing.T) {
	metrics := make(chan string, 1)
	srv := etcdtest.Start(t, exposeMetrics(metrics))
	url := <-metrics
	auth.Enable(t, srv.Client(t), "right")
	r := open(t, srv.Endpoints(), etcd.Auth("root", "wrong"), registry.Timeout(time.Minute))
	for range 1000 {
		_, err := r.GetService("greeter")
		require.ErrorContains(t, err, "authentication failed")
	}
	authentications := metric(
		t, url, `grpc_server_started_total{grpc_method="Authenticate",grpc_service="etcdserverpb.Auth",grpc_type="unary"}`,
	)
	require.Positive(t, authentications)
	require.Less(t, authentications, 20)
	require.NoError(t, r.Init(etcd.Auth("root", "right")))
	require.NoError(t, r.Register(service("greeter", "1", "n")))
	require.Equal(t, 1, nodes(t, r, "greeter"))
	require.NoError(t, r.Close())
}
