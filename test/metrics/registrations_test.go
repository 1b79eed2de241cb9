package metrics

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
)

func TestRegistrationsByState(t *testing.T) {
	srv := etcdtest.Start(t)
	r, m := measured(t, srv, registry.Timeout(time.Second))
	register(t, r, "a", "b")
	require.Equal(t, 2, m.count("registration.count", "state", "registered"))
	register(t, open(t, srv), "b")
	m.reaches(1, "registration.count", "state", "superseded")
	m.reaches(1, "registration.count", "state", "registered")

	srv.Stop()
	require.Error(t, r.Register(service("greeter", "c"), registry.RegisterTTL(time.Minute)))
	m.reaches(1, "registration.count", "state", "pending")
	require.Error(t, r.Deregister(service("greeter", "a")))
	m.reaches(1, "registration.count", "state", "leaving")
	m.reaches(0, "registration.count", "state", "registered")
	require.NoError(t, srv.Restart())
	m.reaches(0, "registration.count", "state", "leaving")
	m.reaches(1, "registration.count", "state", "registered")
}

func TestReregistrationsByCause(t *testing.T) {
	option, wipe := wiper()
	srv := etcdtest.Start(t, option)
	client := srv.Client(t)
	r, m := measured(t, srv)
	register(t, r, "a")

	del(t, client, key("a"))
	m.reaches(1, "reregistrations", "cause", "key_deleted")
	put(t, client, key("a"), "junk")
	m.reaches(1, "reregistrations", "cause", "key_overwritten")

	other := open(t, srv)
	register(t, other, "a")
	m.reaches(1, "registration.count", "state", "superseded")
	require.NoError(t, other.Close())
	m.reaches(1, "reregistrations", "cause", "owner_left")

	_, err := client.Revoke(ctx(t), lease(r.Status().Registrations[0].Lease))
	require.NoError(t, err)
	m.reaches(1, "reregistrations", "cause", "lease_lost")

	srv.Stop()
	wipe()
	require.NoError(t, srv.Restart())
	m.reaches(2, "reregistrations", "cause", "lease_lost")

	elsewhere := etcdtest.Start(t)
	require.NoError(t, r.Init(registry.Addrs(elsewhere.Endpoints()...)))
	m.reaches(1, "reregistrations", "cause", "client_replaced")
	require.Equal(t, 1, m.count("reregistrations", "cause", "key_deleted"))
}

func TestLeaseChanges(t *testing.T) {
	option, wipe := wiper()
	srv := etcdtest.Start(t, option)
	r, m := measured(t, srv)
	register(t, r, "a", "b", "c")
	require.Equal(t, 3, m.count("lease.changes", "state", "granted"))
	require.NoError(t, r.Deregister(service("greeter", "b")))
	require.Equal(t, 1, m.count("lease.changes", "state", "revoked"))

	_, err := srv.Client(t).Revoke(ctx(t), lease(r.Status().Registrations[0].Lease))
	require.NoError(t, err)
	m.reaches(1, "lease.changes", "state", "lost")
	m.reaches(4, "lease.changes", "state", "granted")

	srv.Stop()
	wipe()
	require.NoError(t, srv.Restart())
	m.reaches(3, "lease.changes", "state", "lost")
}

func TestKeepaliveAge(t *testing.T) {
	srv := etcdtest.Start(t)
	r, m := measured(t, srv)
	require.Zero(t, m.value("lease.keepalive.age"), "without a lease")
	require.NoError(t, r.Register(service("greeter", "a"), registry.RegisterTTL(2*time.Second)))
	m.rises(0.3, "lease.keepalive.age")
	require.Eventually(t, func() bool { return m.value("lease.keepalive.age") < 0.3 }, patience, 10*time.Millisecond,
		"a third of the TTL later it is renewed")
	m.rises(1, "requests", "rpc.method", "LeaseKeepAlive")
	srv.Stop()
	m.rises(1.5, "lease.keepalive.age")
	require.NoError(t, srv.Restart())
	require.Eventually(t, func() bool { return m.value("lease.keepalive.age") < 0.5 }, patience, 10*time.Millisecond)
	require.Less(t, r.Status().Registrations[0].Renewed, time.Second)
}

func lease(id int64) clientv3.LeaseID { return clientv3.LeaseID(id) }
