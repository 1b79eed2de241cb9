package etcdtest_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/goleak"

	"github.com/micro-etcd/micro-etcd/etcdtest"
)

// Connections between members end only when etcd's read timeout of five seconds hits them, which is longer than goleak
// looks at a time.
func TestMain(m *testing.M) {
	code := m.Run()
	var leak error
	for begin := time.Now(); time.Since(begin) < 15*time.Second; {
		if leak = goleak.Find(); leak == nil {
			os.Exit(code)
		}
	}
	fmt.Fprintln(os.Stderr, leak)
	os.Exit(max(code, 1))
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestAServerAnswersWhenStartReturns(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	ctx := within(t, 5*time.Second)

	_, err := client.Put(ctx, "key", "value")
	require.NoError(t, err)
	got, err := client.Get(ctx, "key")
	require.NoError(t, err)
	require.Equal(t, "value", string(got.Kvs[0].Value))
}

func TestARestartKeepsDataAndPort(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	endpoint := srv.Endpoint()
	_, err := client.Put(within(t, 5*time.Second), "key", "value")
	require.NoError(t, err)

	srv.Stop()
	srv.Stop()
	_, err = net.Dial("tcp", endpoint)
	require.Error(t, err, "a stopped server must refuse connections")
	require.NoError(t, srv.Restart())
	require.Equal(t, endpoint, srv.Endpoint())

	got, err := client.Get(within(t, 5*time.Second), "key")
	require.NoError(t, err)
	require.Equal(t, "value", string(got.Kvs[0].Value))
}

func TestOpenWatchesAndLeasesDontSlowStop(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	ctx := within(t, 20*time.Second)
	lease, err := client.Grant(ctx, 5)
	require.NoError(t, err)
	_, err = client.KeepAlive(ctx, lease.ID)
	require.NoError(t, err)
	watch := client.Watch(ctx, "key", clientv3.WithCreatedNotify())
	require.True(t, (<-watch).Created)

	begin := time.Now()
	srv.Stop()
	require.Less(t, time.Since(begin), 3*time.Second)
}

func TestManyServersGetPortsOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for range 5 {
		srv := etcdtest.Start(t)
		require.False(t, seen[srv.Endpoint()])
		seen[srv.Endpoint()] = true
	}
}

func TestTakenPortsAreAvoided(t *testing.T) {
	const from, to, taken = 9_000, 9_016, 6
	t.Cleanup(etcdtest.DrawPortsFrom(from, to))
	for port := from; port < from+taken; port++ {
		holder, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		require.NoError(t, err)
		t.Cleanup(func() { _ = holder.Close() })
	}
	etcdtest.Start(t)
}

func TestOptionsReachTheServer(t *testing.T) {
	client := etcdtest.Start(t, func(cfg *embed.Config) { cfg.MaxTxnOps = 1 }).Client(t)
	_, err := client.Txn(within(t, 5*time.Second)).
		Then(clientv3.OpPut("a", ""), clientv3.OpPut("b", "")).Commit()
	require.ErrorContains(t, err, "too many operations")
}

func TestAClusterOutlivesItsLeader(t *testing.T) {
	cluster := etcdtest.StartCluster(t, 3)
	client := cluster.Client(t)
	ctx := within(t, 30*time.Second)
	leader := cluster.Leader()
	require.NotNil(t, leader)

	leader.Stop()
	_, err := client.Get(ctx, "key") // retried by the client until a new leader answers
	require.NoError(t, err)
	require.NoError(t, leader.Restart())

	_, err = client.Put(ctx, "key", "value")
	require.NoError(t, err)
	require.NoError(t, cluster.Restart())
	got, err := client.Get(ctx, "key")
	require.NoError(t, err)
	require.Equal(t, "value", string(got.Kvs[0].Value))
}

func TestRunLeavesNothingButData(t *testing.T) {
	dir := t.TempDir()
	srv, err := etcdtest.Run(dir)
	require.NoError(t, err)
	srv.Stop()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "the data directory is the caller's to remove")
}
