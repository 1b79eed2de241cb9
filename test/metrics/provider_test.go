package metrics

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

var encoder = attribute.DefaultEncoder()

func attributeKey(label string) attribute.Key { return attribute.Key(label) }

func newServer(tb testing.TB) *etcdtest.Server {
	tb.Helper()
	return etcdtest.Start(tb)
}

// fail makes a call that etcd doesn't answer, of a registry that tells the provider of it until the test ends.
func fail(tb testing.TB, provider metric.MeterProvider) {
	tb.Helper()
	r, err := etcd.New(registry.Addrs("127.0.0.1:1"), registry.Timeout(100*time.Millisecond), etcd.MeterProvider(provider))
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, r.Close()) })
	_, err = r.GetService("greeter", etcd.Linearizable())
	require.Error(tb, err)
}

// The default is the global provider, also one that is set when the registry has long been at work.
func TestTheGlobalProviderMayComeLater(t *testing.T) {
	srv := newServer(t)
	r := open(t, srv)
	explicit := open(t, srv, etcd.MeterProvider(nil))
	register(t, r, "a")
	register(t, explicit, "b")
	m := newMeter(t)
	before := otel.GetMeterProvider()
	otel.SetMeterProvider(m.provider)
	t.Cleanup(func() { otel.SetMeterProvider(noop.NewMeterProvider()) })
	require.NotEqual(t, before, otel.GetMeterProvider())
	require.Equal(t, 2, m.count("registration.count", "state", "registered"), "those of both registries add up")
	require.Equal(t, 2, m.count("lease.changes", "state", "granted"), "what was before counts")
	require.NoError(t, r.Deregister(service("greeter", "a")))
	require.Equal(t, 1, m.count("requests", "rpc.method", "LeaseRevoke"))
	require.NoError(t, explicit.Close())
	require.NoError(t, r.Close())
	require.Zero(t, m.value("registration.count", "state", "registered"))
}

func TestInitMovesToAnotherProviderAndCloseEndsIt(t *testing.T) {
	srv := newServer(t)
	r, first := measured(t, srv)
	register(t, r, "a")
	second := newMeter(t)
	require.NoError(t, r.Init(etcd.MeterProvider(second.provider)))
	require.False(t, first.has("registration.count"), "the one before isn't told any more")
	require.Equal(t, 1, second.count("registration.count", "state", "registered"))
	register(t, r, "b")
	require.Equal(t, 2, second.count("registration.count", "state", "registered"))
	require.Equal(t, 2, second.count("requests", "rpc.method", "LeaseGrant"))
	require.Equal(t, 1, second.count("request.duration", "rpc.method", "LeaseGrant"), "durations begin anew")
	require.Equal(t, 2, second.count("lease.changes", "state", "granted"))

	for range 10 {
		require.NoError(t, r.Init(registry.Timeout(time.Minute)), "an Init that isn't about metrics")
	}
	require.Equal(t, 2, second.count("registration.count", "state", "registered"), "nothing is counted twice")
	require.Error(t, r.Init(etcd.MeterProvider(first.provider), etcd.Prefix("")))
	require.Equal(t, 2, second.count("registration.count", "state", "registered"), "a failed Init changes nothing")

	require.NoError(t, r.Close())
	require.False(t, second.has("registration.count"))
	require.ErrorIs(t, r.Init(etcd.MeterProvider(first.provider)), etcd.ErrClosed)
	require.False(t, first.has("registration.count"))
}

// OpenTelemetry's SDK holds its lock while it calls back whoever is registered. What registers or unregisters a
// callback waits for a collection; nothing else does.
func TestACollectionHoldsUpNothingButNewInitAndClose(t *testing.T) {
	srv := newServer(t)
	r, m := measured(t, srv)
	register(t, r, "a")
	require.Equal(t, 1, look(t, r))
	toInit, toClose := open(t, srv, etcd.MeterProvider(m.provider)), open(t, srv, etcd.MeterProvider(m.provider))
	release := hang(t, m)
	returned := make(chan error, 3)
	go func() {
		fresh, err := etcd.New(registry.Addrs(srv.Endpoints()...), etcd.MeterProvider(m.provider))
		if err == nil {
			err = fresh.Close()
		}
		returned <- err
	}()
	go func() { returned <- toInit.Init(registry.Timeout(time.Second)) }()
	go func() { returned <- toClose.Close() }()

	watcher, err := r.Watch()
	require.NoError(t, err)
	register(t, r, "b")
	require.NoError(t, r.Deregister(service("greeter", "a")))
	require.Equal(t, 1, look(t, r))
	require.Equal(t, 1, look(t, r, etcd.Linearizable()))
	_, err = r.ListServices()
	require.NoError(t, err)
	_, err = watcher.Next()
	require.NoError(t, err)
	watcher.Stop()
	require.Len(t, r.Status().Registrations, 1)
	require.Empty(t, returned, "New, Init and Close wait")
	release()
	for range cap(returned) {
		select {
		case err := <-returned:
			require.NoError(t, err)
		case <-time.After(patience):
			require.Fail(t, "New, Init or Close hangs")
		}
	}
	require.Equal(t, 1, m.count("registration.count", "state", "registered"))
}

// hang begins a collection that doesn't end before release is called.
func hang(t *testing.T, m *meter) (release func()) {
	t.Helper()
	meter := m.provider.Meter("github.com/micro-etcd/micro-etcd/registry/etcd")
	revision, err := meter.Int64ObservableGauge(ns + "view.revision")
	require.NoError(t, err)
	called, released, collected := make(chan struct{}), make(chan struct{}), make(chan struct{})
	callback, err := meter.RegisterCallback(func(context.Context, metric.Observer) error {
		close(called)
		<-released
		return nil
	}, revision)
	require.NoError(t, err)
	go func() {
		defer close(collected)
		assert.NoError(t, m.reader.Collect(context.Background(), new(metricdata.ResourceMetrics)))
	}()
	<-called
	release = sync.OnceFunc(func() {
		close(released)
		<-collected
		require.NoError(t, callback.Unregister())
	})
	t.Cleanup(release)
	return release
}

// A configuration error leaves the metrics off; the Init that mends it switches them on.
func TestMetricsOfARegistryThatInitMends(t *testing.T) {
	srv, m := newServer(t), newMeter(t)
	r := etcd.NewRegistry(registry.Addrs("a:b:c"), etcd.MeterProvider(m.provider))
	require.Empty(t, m.collect())
	require.NoError(t, r.Init(registry.Addrs(srv.Endpoints()...)))
	t.Cleanup(func() { _ = r.(*etcd.Registry).Close() })
	register(t, r, "a")
	require.Equal(t, 1, m.count("registration.count", "state", "registered"))
}

// What a lookup allocates is its result, with metrics or without.
func TestMetricsCostALookupNoAllocation(t *testing.T) {
	srv := newServer(t)
	put(t, srv.Client(t), key("a"), record(t, "a"))
	r, m := measured(t, srv)
	plain := open(t, srv, etcd.MeterProvider(noop.NewMeterProvider()))
	require.Equal(t, 1, look(t, r))
	require.Equal(t, 1, look(t, plain))
	before := m.count("lookups", "source", "local")
	allocations := func(r registry.Registry) int {
		return int(testing.AllocsPerRun(1000, func() { _, _ = r.GetService("greeter") }))
	}
	require.Equal(t, allocations(plain), allocations(r))
	require.Equal(t, 1001, m.count("lookups", "source", "local")-before, "and they were counted")
}

// Collecting, changing the provider and working at one time neither races nor hangs.
func TestMetricsWhileEverythingGoesOn(t *testing.T) {
	srv := newServer(t)
	r, m := measured(t, srv)
	other := newMeter(t)
	done := make(chan struct{})
	stop, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		for stop.Err() == nil {
			for _, reader := range []*sdk.ManualReader{m.reader, other.reader} {
				assert.NoError(t, reader.Collect(context.Background(), new(metricdata.ResourceMetrics)))
			}
		}
	}()
	for i := range 20 {
		register(t, r, "a", "b")
		require.Equal(t, 2, look(t, r))
		require.NoError(t, r.Init(etcd.MeterProvider([]metric.MeterProvider{other.provider, m.provider}[i%2])))
		require.NoError(t, r.Deregister(service("greeter", "a")))
	}
	cancel()
	<-done
}
