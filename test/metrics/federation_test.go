package metrics

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/registry/federation"
)

// numbers are what a reader collects: "dc of the scope name attributes" → value.
func numbers(t *testing.T, reader sdk.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(context.Background(), &all))
	found := make(map[string]int64)
	for _, scope := range all.ScopeMetrics {
		dc, _ := scope.Scope.Attributes.Value("dc")
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok {
				for _, p := range sum.DataPoints {
					found[dc.AsString()+" "+m.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Value
				}
			}
		}
	}
	return found
}

func TestAFederationTellsWhoServes(t *testing.T) {
	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	eu1 := open(t, newServer(t), etcd.MeterProvider(federation.Meters(provider, "eu1")))
	us1 := open(t, newServer(t), etcd.MeterProvider(federation.Meters(provider, "us1")))
	r, err := federation.New(
		federation.Local("eu1", eu1), federation.Remote("us1", us1), federation.MeterProvider(provider),
	)
	require.NoError(t, err)
	register(t, us1, "b")
	register(t, eu1, "a")
	w, err := r.Watch(registry.WatchService("greeter"))
	require.NoError(t, err)
	now := numbers(t, reader)
	require.Equal(t, int64(1), now[" etcd.federation.serving dc=eu1"])
	require.Zero(t, now[" etcd.federation.serving dc=us1"])
	require.Equal(t, int64(1), now["us1 etcd.registry.registration.count state=registered"])

	require.NoError(t, r.Deregister(service("greeter", "a")))
	_, err = w.Next()
	require.NoError(t, err)
	now = numbers(t, reader)
	require.Equal(t, int64(1), now[" etcd.federation.serving dc=us1"])
	require.Equal(t, int64(1), now[" etcd.federation.failovers from=eu1,to=us1"])
	require.Zero(t, now["eu1 etcd.registry.registration.count state=registered"])
	require.Equal(t, int64(1), now["us1 etcd.registry.registration.count state=registered"])

	require.NoError(t, r.Close())
	require.NotContains(t, numbers(t, reader), " etcd.federation.serving dc=us1")
	require.NoError(t, provider.Shutdown(context.Background()))
}
