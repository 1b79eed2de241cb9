package federation

import (
	"context"
	"errors"
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// scope is the name of the meter: that of the package.
const scope = "github.com/micro-etcd/micro-etcd/registry/federation"

// metrics are what a federation tells OpenTelemetry. docs/datacenters.md says what they mean.
type metrics struct {
	failovers metric.Int64Counter
	reading   metric.Registration
}

// newMetrics never fails: a service needn't fail for its metrics. OpenTelemetry's error handler hears of it.
func newMetrics(p metric.MeterProvider, served func() map[string]int) *metrics {
	meter := p.Meter(scope)
	failovers, err := meter.Int64Counter(
		"etcd.federation.failovers", metric.WithUnit("{failover}"),
		metric.WithDescription("Services that another data center took over because one had too few nodes."),
	)
	serving, err2 := meter.Int64ObservableUpDownCounter(
		"etcd.federation.serving", metric.WithUnit("{service}"),
		metric.WithDescription("Services that are followed, by the data center that serves them."),
	)
	m := &metrics{failovers: failovers}
	var err3 error
	m.reading, err3 = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for dc, n := range served() {
			o.ObserveInt64(serving, int64(n), metric.WithAttributes(attribute.String("dc", dc)))
		}
		return nil
	}, serving)
	if err := errors.Join(err, err2, err3); err != nil {
		otel.Handle(err)
	}
	return m
}

func (m *metrics) failedOver(from, to string) {
	m.failovers.Add(context.Background(), 1, metric.WithAttributes(
		attribute.String("from", from), attribute.String("to", to),
	))
}

func (m *metrics) close() {
	if m.reading != nil {
		_ = m.reading.Unregister()
	}
}

// Meters returns a provider for the registry of one data center. What that records says so with the attribute dc of its
// instrumentation scope; else registries with one provider add up.
func Meters(p metric.MeterProvider, datacenter string) metric.MeterProvider {
	return meters{p, attribute.NewSet(attribute.String("dc", datacenter))}
}

type meters struct {
	metric.MeterProvider
	of attribute.Set
}

func (m meters) Meter(name string, opts ...metric.MeterOption) metric.Meter {
	return m.MeterProvider.Meter(name, append(slices.Clip(opts), metric.WithInstrumentationAttributeSet(m.of))...)
}
