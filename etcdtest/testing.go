package etcdtest

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Start runs one server for the length of the test. It fails the test if it can't.
func Start(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	return StartCluster(tb, 1, opts...).Members[0]
}

// StartCluster runs n members for the length of the test. It fails the test if it can't.
func StartCluster(tb testing.TB, n int, opts ...Option) *Cluster {
	tb.Helper()
	cluster, err := RunCluster(tb.TempDir(), n, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Log("etcd logged:\n" + logs(cluster.Members))
		}
		cluster.Stop()
	})
	return cluster
}

// Client returns a client that is closed when the test ends. It is back within half a second of a restart.
func (s *Server) Client(tb testing.TB) *clientv3.Client {
	tb.Helper()
	return newClient(tb, s.Endpoints())
}

// Client returns a client of all members that is closed when the test ends.
func (c *Cluster) Client(tb testing.TB) *clientv3.Client {
	tb.Helper()
	return newClient(tb, c.Endpoints())
}

func newClient(tb testing.TB, endpoints []string) *clientv3.Client {
	tb.Helper()
	reconnect := backoff.DefaultConfig
	reconnect.BaseDelay = 50 * time.Millisecond
	reconnect.MaxDelay = 500 * time.Millisecond
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   endpoints,
		DialTimeout: 5 * time.Second,
		DialOptions: []grpc.DialOption{
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: time.Second}),
		},
		Logger: zap.NewNop(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() }) // it reports no more than its own canceled context
	return client
}
