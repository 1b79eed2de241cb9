package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// One registry provides two services, and its user may no longer write one of them. Since 3.6.9 etcd doesn't renew
// leases with such keys, and ends the stream on which the etcd client renews all of them.
func TestALostPermissionCostsNoOtherRecord(t *testing.T) {
	const ttl = 6 * time.Second
	greeters := make([]string, 30)
	for i := range greeters {
		greeters[i] = fmt.Sprint("g", i)
	}
	others := []string{"o1", "o2", "o3", "o4", "o5"}
	s, root := ruled(t, usual)
	allowOther(t, root)
	log := newLog()
	r := open(t, registry.Addrs(s.address()), etcd.Auth(
		"greeter", greeterPassword,
	), registry.Timeout(unhurried), registry.Logger(log))
	require.NoError(t, r.Register(service("greeter", "1", greeters...), registry.RegisterTTL(ttl)))
	require.NoError(t, r.Register(service("other", "1", others...), registry.RegisterTTL(ttl)))
	changes := root.Watch(t.Context(), "/micro/registry/greeter/", clientv3.WithPrefix())

	_, err := root.RoleRevokePermission(soon(t), "provide-greeter", otherDir, clientv3.GetPrefixRangeEnd(otherDir))
	require.NoError(t, err)
	noDeletes(t, changes, 3*ttl)
	answer, err := root.Get(soon(t), otherDir, clientv3.WithPrefix(), clientv3.WithCountOnly())
	require.NoError(t, err)
	require.Zero(t, answer.Count, "this etcd renews what may not be written")
	for _, g := range r.Status().Registrations {
		if g.Service == "greeter" {
			require.Equal(t, "registered", g.State, g.Key)
			continue
		}
		require.Equal(t, "pending", g.State, g.Key)
		require.ErrorIs(t, g.Err, rpctypes.ErrPermissionDenied)
	}
	require.Equal(t, len(others), strings.Count(log.text.String(), " is pending: "), log.text.String())

	allowOther(t, root)
	client := open(t, registry.Addrs(s.address()), etcd.Auth("client", clientPassword))
	reaches(t, client, "other", "o1@1", "o2@1", "o3@1", "o4@1", "o5@1")
	noDeletes(t, changes, ttl)
}

const otherDir = "/micro/registry/other/"

// allowOther lets the greeter's user provide another service too.
func allowOther(tb testing.TB, root *clientv3.Client) {
	tb.Helper()
	_, err := root.RoleGrantPermission(soon(
		tb,
	), "provide-greeter", otherDir, clientv3.GetPrefixRangeEnd(otherDir), clientv3.PermissionType(clientv3.PermReadWrite))
	require.NoError(tb, err)
}

// noDeletes checks that nothing is deleted for some time.
func noDeletes(tb testing.TB, changes clientv3.WatchChan, within time.Duration) {
	tb.Helper()
	over := time.After(within)
	for {
		select {
		case change := <-changes:
			require.NoError(tb, change.Err())
			for _, e := range change.Events {
				require.NotEqual(tb, clientv3.EventTypeDelete, e.Type, string(e.Kv.Key))
			}
		case <-over:
			return
		}
	}
}
