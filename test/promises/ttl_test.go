package promises

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// defaultTTL is go-micro's, in seconds.
const defaultTTL = 90

// Without a TTL a record goes within go-micro's default after its process was killed.
func TestP2WithoutATTLARecordLivesAsLongAsItsProcess(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	r := open(t, srv.Endpoints())
	s := service("greeter", "1", "a")
	key, value := record(t, s)
	require.NoError(t, r.Register(s))
	requireOnLease(t, client, key, value)

	// A tool that puts the same record for good doesn't make it outlive us.
	_, err := client.Put(ctx(t), key, value)
	require.NoError(t, err)
	eventually(t, func() bool {
		got, err := client.Get(ctx(t), key)
		return err == nil && len(got.Kvs) == 1 && got.Kvs[0].Lease != 0
	}, "the record is on our lease again")
	requireOnLease(t, client, key, value)

	require.NoError(t, r.Deregister(s))
	require.Zero(t, keys(t, client, key))
	require.Zero(t, leases(t, client))
}

func requireOnLease(t *testing.T, client *clientv3.Client, key, value string) {
	t.Helper()
	got, err := client.Get(ctx(t), key)
	require.NoError(t, err)
	require.Len(t, got.Kvs, 1)
	require.Equal(t, value, string(got.Kvs[0].Value))
	require.NotZero(t, got.Kvs[0].Lease, "a record without a lease outlives its process")
	lease, err := client.TimeToLive(ctx(t), clientv3.LeaseID(got.Kvs[0].Lease))
	require.NoError(t, err)
	require.EqualValues(t, defaultTTL, lease.GrantedTTL)
}

func TestP2TTLIsRoundedUpAndChangesAreWritten(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	r := open(t, srv.Endpoints())
	s := service("greeter", "1", "a")
	key, _ := record(t, s)
	granted := func() int64 {
		got, err := client.Get(ctx(t), key)
		require.NoError(t, err)
		require.Len(t, got.Kvs, 1)
		require.Equal(t, 1, leases(t, client), "the lease before is revoked")
		ttl, err := client.TimeToLive(ctx(t), clientv3.LeaseID(got.Kvs[0].Lease))
		require.NoError(t, err)
		return ttl.GrantedTTL
	}
	for _, step := range []struct {
		ttl  time.Duration
		want int64
	}{{90 * time.Second, 90}, {4500 * time.Millisecond, 5}, {0, 90}, {time.Nanosecond, 1}, {0, 90}} {
		require.NoError(t, r.Register(s, registry.RegisterTTL(step.ttl)))
		require.Equal(t, step.want, granted(), step.ttl)
	}
	require.NoError(t, r.Deregister(s))
	require.Zero(t, nodes(t, r, "greeter"))
	require.Zero(t, leases(t, client))
}

func TestP7ATTLBeyondEtcdsIsRefused(t *testing.T) {
	r := open(t, []string{"127.0.0.1:1"})
	for _, ttl := range []time.Duration{-1, 1<<63 - 1} {
		require.ErrorIs(t, r.Register(service("greeter", "1", "n"), registry.RegisterTTL(ttl)), etcd.ErrTTL)
	}
}
