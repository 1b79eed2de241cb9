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
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return StartCluster(t, 1, opts...).Members[0]
}

// StartCluster runs n members for the length of the test. It fails the test if it can't.
func StartCluster(t testing.TB, n int, opts ...Option) *Cluster {
	t.Helper()
	cluster, err := RunCluster(t.TempDir(), n, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("etcd logged:\n" + logs(cluster.Members))
		}
		cluster.Stop()
	})
	return cluster
}

// Client returns a client that is closed when the test ends. It is back within half a second of a restart.
func (s *Server) Client(t testing.TB) *clientv3.Client {
	t.Helper()
	return newClient(t, s.Endpoints())
}

// Client returns a client of all members that is closed when the test ends.
func (c *Cluster) Client(t testing.TB) *clientv3.Client {
	t.Helper()
	return newClient(t, c.Endpoints())
}

func newClient(t testing.TB, endpoints []string) *clientv3.Client {
	t.Helper()
	reconnect := backoff.DefaultConfig
	reconnect.BaseDelay = 50 * time.Millisecond
	reconnect.MaxDelay = 500 * time.Millisecond
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   endpoints,
		DialTimeout: 5 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: time.Second})},
		Logger:      zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() }) // it reports no more than its own canceled context
	return client
}
