// Package metrics counts what a registry does, and tells OpenTelemetry.
package metrics

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/codes"
)

// Metrics are what a registry counts, whether or not somebody collects it: what happens is added to a number, and
// OpenTelemetry reads the numbers when it likes. Only the time that a request took goes to its instrument at once.
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

// Requested counts a request. It calls the MeterProvider, so no mutex may be held. Renewals don't call it, because they
// must not wait.
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

// State is what there is at a moment, and isn't counted.
type State struct {
	Registrations map[string]int64 // by their state
	Held          int64            // of them, that fail their checks and stay in service
	KeepaliveAge  time.Duration    // of the lease that was renewed longest ago
	Views         map[string]int64 // by their state
	Staleness     time.Duration    // of the stalest view
	Revision      int64            // the newest in any view
	Watchers      int
	Queue         int // of the slowest watcher
	Malformed     uint64
}

// Export lets the present provider collect, instead of the one before. Of several exports at one time the last one to
// become m.exporter counts: it asks for the present provider after that. A provider that can't is reported to
// OpenTelemetry's error handler: a service needn't fail for its metrics.
func (m *Metrics) Export(present func() metric.MeterProvider, state func() State) {
	e := new(exporter)
	m.exporter.Swap(e).end()
	if m.closed.Load() {
		return
	}
	e.begin(present(), func(o metric.Observer, i *instruments) {
		if m.exporter.Load() == e && !m.closed.Load() {
			m.observe(o, i, state())
		}
	})
	if m.exporter.Load() != e || m.closed.Load() {
		e.end()
	}
}

// Close ends what export began.
func (m *Metrics) Close() {
	m.closed.Store(true)
	m.exporter.Load().end()
}

func (m *Metrics) observe(o metric.Observer, i *instruments, s State) {
	m.Leases.observe(o, i.leases)
	m.Reregistrations.observe(o, i.reregistrations)
	m.Lists.observe(o, i.lists)
	m.Events.observe(o, i.events)
	m.Lookups.observe(o, i.lookups)
	m.requests.observe(o, i.requests)
	for state, n := range s.Registrations {
		o.ObserveInt64(i.registrations, n, label("state", state))
	}
	o.ObserveInt64(i.held, s.Held)
	o.ObserveFloat64(i.keepaliveAge, s.KeepaliveAge.Seconds())
	for state, n := range s.Views {
		o.ObserveInt64(i.views, n, label("state", state))
	}
	o.ObserveFloat64(i.staleness, s.Staleness.Seconds())
	o.ObserveInt64(i.revision, s.Revision)
	o.ObserveInt64(i.watchers, int64(s.Watchers))
	o.ObserveInt64(i.queue, int64(s.Queue))
	o.ObserveInt64(i.malformed, int64(s.Malformed)) //nolint:gosec // nobody counts so far
}
