// Package metrics counts what a registry does, and tells OpenTelemetry.
package metrics

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/codes"
)

// Metrics are what a registry counts, whether or not somebody collects it: what happens is added
// to a number, and OpenTelemetry reads the numbers when it likes. Only the time that a request took goes
// to its instrument at once.
type Metrics struct {
	requests        requestCounts
	Lookups         counter[Source]
	Leases          counter[LeaseChange]
	Reregistrations counter[RestoreCause]
	Lists           counter[ListCause]
	Events          counter[EventType]

	exporter atomic.Pointer[exporter]
	closed   atomic.Bool
}

// New returns metrics that nobody collects yet.
func New() *Metrics {
	m := &Metrics{
		Lookups:         newCounter[Source]("source", sourceNames[:]),
		Leases:          newCounter[LeaseChange]("state", leaseChanges[:]),
		Reregistrations: newCounter[RestoreCause]("cause", RestoreCauses[:]),
		Lists:           newCounter[ListCause]("cause", ListCauses[:]),
		Events:          newCounter[EventType]("type", eventTypes[:]),
	}
	m.exporter.Store(new(exporter))
	return m
}

// counter counts by an enumeration.
type counter[E ~int32] struct {
	counts []atomic.Int64
	labels []metric.ObserveOption
}

func newCounter[E ~int32](label string, names []string) counter[E] {
	t := counter[E]{counts: make([]atomic.Int64, len(names))}
	for _, name := range names {
		t.labels = append(t.labels, metric.WithAttributeSet(attribute.NewSet(attribute.String(label, name))))
	}
	return t
}

func (t *counter[E]) Add(e E) { t.counts[e].Add(1) }

// Get returns how often e was added.
func (t *counter[E]) Get(e E) int { return int(t.counts[e].Load()) }

func (t *counter[E]) observe(o metric.Observer, into metric.Int64Observable) {
	for e := range t.counts {
		o.ObserveInt64(into, t.counts[e].Load(), t.labels[e])
	}
}

// Requested takes note of how a request went. It calls the MeterProvider, so it isn't for who holds a mutex; but for
// renewals, which must not wait for it.
func (m *Metrics) Requested(ctx context.Context, of Method, took time.Duration, code codes.Code) {
	m.requests.add(of, code)
	if of != MethodKeepAlive {
		m.exporter.Load().record(ctx, took, of, code)
	}
}

// Streamed takes note of what happened on a stream, where nothing takes a time of its own.
func (m *Metrics) Streamed(of Method, code codes.Code) {
	m.requests.add(of, code)
}

// requestCounts counts requests by method and code.
type requestCounts [len(methods)][len(CodeNames)]atomic.Int64

func (r *requestCounts) add(m Method, c codes.Code) { r[m][c].Add(1) }

func (r *requestCounts) observe(o metric.Observer, into metric.Int64Observable) {
	for m := range r {
		for c := range r[m] {
			if n := r[m][c].Load(); n > 0 {
				o.ObserveInt64(into, n, requestLabels(Method(m), codes.Code(c))) //nolint:gosec // both are small
			}
		}
	}
}

func requestLabels(m Method, c codes.Code) metric.MeasurementOption {
	labels := []attribute.KeyValue{attribute.String("rpc.method", methods[m])}
	if c != codes.OK {
		labels = append(labels, attribute.String("error.type", CodeNames[c]))
	}
	return metric.WithAttributeSet(attribute.NewSet(labels...))
}
