// Package metrics tests what registry/etcd tells OpenTelemetry, against real etcd: each metric moves when the real
// thing happens, docs/metrics.md explains each and no other, and the dashboard asks for nothing else.
package metrics

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/leak"
)

// patience is how long a test waits for what must happen soon.
const patience = 20 * time.Second

const ns = "etcd.registry."

func TestMain(m *testing.M) { leak.Verify(m) }

// meter collects what registries tell its provider. All that it ever collected must be documented.
type meter struct {
	t        testing.TB
	provider *sdk.MeterProvider
	reader   *sdk.ManualReader
}

func newMeter(tb testing.TB) *meter {
	tb.Helper()
	m := &meter{t: tb, reader: sdk.NewManualReader()}
	m.provider = sdk.NewMeterProvider(sdk.WithReader(m.reader))
	tb.Cleanup(func() {
		m.collect()
		require.NoError(tb, m.provider.Shutdown(context.Background()))
	})
	return m
}

// point is one number of a metric, with its attributes.
type point struct {
	labels attribute.Set
	value  float64
}

// series is a metric at one moment.
type series struct {
	metricdata.Metrics
	kind   string
	points []point
}

// collect returns all metrics there are, by name.
func (m *meter) collect() map[string]series {
	m.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(m.t, m.reader.Collect(context.Background(), &all))
	found := make(map[string]series)
	for _, scope := range all.ScopeMetrics {
		require.Equal(m.t, "github.com/micro-etcd/micro-etcd/registry/etcd", scope.Scope.Name)
		for _, one := range scope.Metrics {
			found[one.Name] = newSeries(m.t, one)
		}
	}
	page(m.t).check(m.t, found)
	return found
}

func newSeries(tb testing.TB, one metricdata.Metrics) series {
	tb.Helper()
	s := series{Metrics: one}
	switch data := one.Data.(type) {
	case metricdata.Sum[int64]:
		require.Equal(tb, metricdata.CumulativeTemporality, data.Temporality)
		s.kind, s.points = "UpDownCounter", points(data.DataPoints)
		if data.IsMonotonic {
			s.kind = "Counter"
		}
	case metricdata.Gauge[int64]:
		s.kind, s.points = "Gauge", points(data.DataPoints)
	case metricdata.Gauge[float64]:
		s.kind, s.points = "Gauge", points(data.DataPoints)
	case metricdata.Histogram[float64]:
		s.kind = "Histogram"
		for _, p := range data.DataPoints {
			s.points = append(s.points, point{p.Attributes, float64(p.Count)})
		}
	default:
		require.Failf(tb, "unknown kind of metric", "%s is a %T", one.Name, data)
	}
	return s
}

func points[N int64 | float64](data []metricdata.DataPoint[N]) []point {
	var all []point
	for _, p := range data {
		all = append(all, point{p.Attributes, float64(p.Value)})
	}
	return all
}

// value returns a metric's number, for a histogram how often something was recorded. It is that of just these
// attributes, given as name and value in turn, and 0 if there is none.
func (m *meter) value(name string, labels ...string) float64 {
	m.t.Helper()
	var want []attribute.KeyValue
	for i := 0; i < len(labels); i += 2 {
		want = append(want, attribute.String(labels[i], labels[i+1]))
	}
	set := attribute.NewSet(want...)
	for _, p := range m.collect()[ns+name].points {
		if p.labels.Equals(&set) {
			return p.value
		}
	}
	return 0
}

func (m *meter) has(name string) bool {
	m.t.Helper()
	_, ok := m.collect()[ns+name]
	return ok
}

func (m *meter) count(name string, labels ...string) int {
	m.t.Helper()
	return int(m.value(name, labels...))
}

// reaches waits until a metric's number is n.
func (m *meter) reaches(n int, name string, labels ...string) {
	m.t.Helper()
	require.Eventually(m.t, func() bool { return m.count(name, labels...) == n }, patience, 10*time.Millisecond,
		"%s %v shall be %v, is %v", name, labels, n, m.value(name, labels...))
}

// rises waits until a metric's number is above n.
func (m *meter) rises(n float64, name string, labels ...string) {
	m.t.Helper()
	require.Eventually(m.t, func() bool { return m.value(name, labels...) > n }, patience, 10*time.Millisecond,
		"%s %v shall rise above %v", name, labels, n)
}

func open(tb testing.TB, srv *etcdtest.Server, opts ...registry.Option) *etcd.Registry {
	tb.Helper()
	quiet := logger.NewLogger(logger.WithLevel(logger.FatalLevel))
	r, err := etcd.New(append([]registry.Option{registry.Addrs(srv.Endpoints()...), registry.Logger(quiet)}, opts...)...)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = r.Close() })
	return r
}

// measured is a registry with a meter of its own.
func measured(tb testing.TB, srv *etcdtest.Server, opts ...registry.Option) (*etcd.Registry, *meter) {
	tb.Helper()
	m := newMeter(tb)
	return open(tb, srv, append(opts, etcd.MeterProvider(m.provider))...), m
}

func service(name string, ids ...string) *registry.Service {
	s := &registry.Service{Name: name, Version: "1"}
	for _, id := range ids {
		s.Nodes = append(s.Nodes, &registry.Node{Id: id, Address: "10.0.0.1:8080"})
	}
	return s
}

func key(id string) string { return etcd.DefaultPrefix + "greeter/" + id }

// record is what a registry writes for a node of the greeter.
func record(tb testing.TB, id string) string {
	tb.Helper()
	b, err := json.Marshal(service("greeter", id))
	require.NoError(tb, err)
	return string(b)
}

func register(tb testing.TB, r registry.Registry, ids ...string) {
	tb.Helper()
	require.NoError(tb, r.Register(service("greeter", ids...), registry.RegisterTTL(time.Minute)))
}

func look(tb testing.TB, r registry.Registry, opts ...registry.GetOption) int {
	tb.Helper()
	services, err := r.GetService("greeter", opts...)
	if err != nil {
		require.ErrorIs(tb, err, registry.ErrNotFound)
		return 0
	}
	return len(services[0].Nodes)
}

func put(tb testing.TB, c *clientv3.Client, key, value string) {
	tb.Helper()
	_, err := c.Put(ctx(tb), key, value)
	require.NoError(tb, err)
}

func del(tb testing.TB, c *clientv3.Client, key string) {
	tb.Helper()
	_, err := c.Delete(ctx(tb), key)
	require.NoError(tb, err)
}

func ctx(tb testing.TB) context.Context {
	tb.Helper()
	c, cancel := context.WithTimeout(context.Background(), patience)
	tb.Cleanup(cancel)
	return c
}

// wiper returns an option, and what makes the next start begin with no data.
func wiper() (_ etcdtest.Option, wipe func()) {
	var mu sync.Mutex
	wiped := false
	option := func(c *embed.Config) {
		mu.Lock()
		defer mu.Unlock()
		if wiped {
			wiped = false
			_ = os.RemoveAll(c.Dir)
		}
	}
	return option, func() {
		mu.Lock()
		defer mu.Unlock()
		wiped = true
	}
}
