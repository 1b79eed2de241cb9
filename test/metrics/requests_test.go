package metrics

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/auth"
)

func TestRequestsByMethod(t *testing.T) {
	srv := etcdtest.Start(t)
	r, m := measured(t, srv)
	register(t, r, "a", "b")
	require.Equal(t, 2, m.count("requests", "rpc.method", "LeaseGrant"))
	require.Equal(t, 2, m.count("requests", "rpc.method", "Txn"))
	m.reaches(2, "requests", "rpc.method", "Watch")
	require.NoError(t, r.Deregister(service("greeter", "a")))
	require.Equal(t, 3, m.count("requests", "rpc.method", "Txn"))
	require.Equal(t, 1, m.count("requests", "rpc.method", "LeaseRevoke"))
	require.NoError(t, r.Deregister(service("greeter", "stranger")))
	require.Equal(t, 1, look(t, r, etcd.Linearizable()))
	require.Positive(t, m.value("requests", "rpc.method", "Range"))

	for _, method := range []string{"LeaseGrant", "Txn", "LeaseRevoke", "Range"} {
		require.Equal(t, m.count("requests", "rpc.method", method), m.count("request.duration", "rpc.method", method), method)
	}
	require.Zero(t, m.value("request.duration", "rpc.method", "Watch"), "a stream has no end")
	h, ok := m.collect()[ns+"request.duration"].Data.(metricdata.Histogram[float64])
	require.True(t, ok)
	for _, p := range h.DataPoints {
		require.Positive(t, p.Sum)
		require.Less(t, p.Sum/float64(p.Count), patience.Seconds(), "in seconds")
	}
}

func TestRequestsThatFail(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	r, m := measured(t, srv, registry.Timeout(500*time.Millisecond))
	require.Zero(t, look(t, r))
	srv.Stop()
	require.Eventually(t, func() bool { // the first may still meet the connection that ends
		_, err := r.GetService("greeter", etcd.Linearizable())
		return err != nil && m.value("requests", "rpc.method", "Range", "error.type", "DEADLINE_EXCEEDED") > 0
	}, patience, time.Millisecond)
	require.Positive(t, m.value("request.duration", "rpc.method", "Range", "error.type", "DEADLINE_EXCEEDED"))
	require.NoError(t, srv.Restart())

	auth.Enable(t, client, "secret")
	require.Eventually(t, func() bool {
		_, err := r.GetService("greeter", etcd.Linearizable())
		return err != nil && m.value("requests", "rpc.method", "Range", "error.type", "INVALID_ARGUMENT") > 0
	}, patience, 50*time.Millisecond, "etcd wants a user now")
}
