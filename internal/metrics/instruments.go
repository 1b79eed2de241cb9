package metrics

import (
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// scope is the name of the meter: that of the package.
const scope = "github.com/micro-etcd/micro-etcd/registry/etcd"

// instruments are a registry's metrics at one MeterProvider. docs/metrics.md says what they mean.
type instruments struct {
	duration metric.Float64Histogram

	// The others are read when somebody collects.
	requests                               metric.Int64ObservableCounter
	registrations, views, watchers         metric.Int64ObservableUpDownCounter
	leases, reregistrations, lists, events metric.Int64ObservableCounter
	lookups, malformed                     metric.Int64ObservableCounter
	revision, queue                        metric.Int64ObservableGauge
	keepaliveAge, staleness                metric.Float64ObservableGauge
}

// maker makes instruments, and keeps the errors for the end.
type maker struct {
	metric.Meter
	observed []metric.Observable
	err      error
}

func made[T any](m *maker, instrument T, err error) T {
	if observed, ok := any(instrument).(metric.Observable); ok && err == nil {
		m.observed = append(m.observed, observed)
	}
	m.err = errors.Join(m.err, err)
	return instrument
}

func (m *maker) counter(name, unit, what string) metric.Int64ObservableCounter {
	i, err := m.Int64ObservableCounter("etcd.registry."+name, metric.WithUnit(unit), metric.WithDescription(what))
	return made(m, i, err)
}

func (m *maker) number(name, unit, what string) metric.Int64ObservableUpDownCounter {
	i, err := m.Int64ObservableUpDownCounter("etcd.registry."+name, metric.WithUnit(unit), metric.WithDescription(what))
	return made(m, i, err)
}

func (m *maker) gauge(name, unit, what string) metric.Int64ObservableGauge {
	i, err := m.Int64ObservableGauge("etcd.registry."+name, metric.WithUnit(unit), metric.WithDescription(what))
	return made(m, i, err)
}

func (m *maker) age(name, what string) metric.Float64ObservableGauge {
	i, err := m.Float64ObservableGauge("etcd.registry."+name, metric.WithUnit("s"), metric.WithDescription(what))
	return made(m, i, err)
}

// durationBounds, in seconds, reach from an etcd in the same room to the default timeout and beyond.
var durationBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

func newInstruments(m *maker) *instruments {
	i := &instruments{
		requests:        m.counter("requests", "{request}", "Requests to etcd, by method and error."),
		registrations:   m.number("registration.count", "{registration}", "Nodes that this process was asked to register, by their state in etcd."),
		reregistrations: m.counter("reregistrations", "{registration}", "Records that were put back into etcd, by what had become of them."),
		leases:          m.counter("lease.changes", "{change}", "Changes of leases, by what became of them."),
		keepaliveAge:    m.age("lease.keepalive.age", "Time since etcd last renewed the lease for which that is longest ago."),
		lookups:         m.counter("lookups", "{lookup}", "Calls of GetService, and first ones of a selector, by what they were answered from."),
		views:           m.number("view.count", "{view}", "Services that are followed, by the state of their local view."),
		revision:        m.gauge("view.revision", "{revision}", "Newest revision of etcd's in any view."),
		staleness:       m.age("view.staleness", "Time for which the stalest view hasn't been kept up to date, 0 if all are."),
		lists:           m.counter("view.lists", "{list}", "Times that a view was read from etcd as a whole, by cause."),
		events:          m.counter("events", "{event}", "Events of etcd's that views were told of."),
		watchers:        m.number("watcher.count", "{watcher}", "Open watchers."),
		queue:           m.gauge("watcher.queue.length", "{change}", "Changes that wait for the Next of the slowest watcher."),
		malformed:       m.counter("malformed_records", "{record}", "Values that were skipped because they are no records; one that is read again counts again."),
	}
	duration, err := m.Float64Histogram("etcd.registry.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Time that requests to etcd took, by method and error."),
		metric.WithExplicitBucketBoundaries(durationBounds...))
	i.duration = made(m, duration, err)
	return i
}

// State is what there is at a moment, and isn't counted.
type State struct {
	Registrations map[string]int64 // by their state
	KeepaliveAge  time.Duration    // of the lease that was renewed longest ago
	Views         map[string]int64 // by their state
	Staleness     time.Duration    // of the stalest view
	Revision      int64            // the newest in any view
	Watchers      int
	Queue         int // of the slowest watcher
	Malformed     uint64
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

func label(name, value string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String(name, value)))
}
