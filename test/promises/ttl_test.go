package promises

import (
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
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
