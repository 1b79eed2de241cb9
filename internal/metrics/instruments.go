package metrics

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
)

// scope is the name of the meter: that of the package.
const scope = "github.com/micro-etcd/micro-etcd/registry/etcd"

// instruments are a registry's metrics at one MeterProvider. docs/metrics.md says what they mean.
type instruments struct {
	duration metric.Float64Histogram

	// The others are read when somebody collects.
	requests                               metric.Int64ObservableCounter
	registrations, held, views, watchers   metric.Int64ObservableUpDownCounter
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
		requests: m.counter("requests", "{request}", "Requests to etcd, by method and error."),
		registrations: m.number(
			"registration.count", "{registration}", "Nodes that this process was asked to register, by their state in etcd.",
		),
		held: m.number(
			"registration.held", "{registration}", "Nodes that fail their checks and are held in service.",
		),
		reregistrations: m.counter(
			"reregistrations", "{registration}", "Records that were put back into etcd, by what had become of them.",
		),
		leases:       m.counter("lease.changes", "{change}", "Changes of leases, by what became of them."),
		keepaliveAge: m.age("lease.keepalive.age", "Time since etcd last renewed the lease for which that is longest ago."),
		lookups: m.counter(
			"lookups", "{lookup}", "Calls of GetService, and first ones of a selector, by what they were answered from.",
		),
		views:     m.number("view.count", "{view}", "Services that are followed, by the state of their local view."),
		revision:  m.gauge("view.revision", "{revision}", "Newest revision of etcd's in any view."),
		staleness: m.age("view.staleness", "Time for which the stalest view hasn't been kept up to date, 0 if all are."),
		lists:     m.counter("view.lists", "{list}", "Times that a view was read from etcd as a whole, by cause."),
		events:    m.counter("events", "{event}", "Events of etcd's that views were told of."),
		watchers:  m.number("watcher.count", "{watcher}", "Open watchers."),
		queue:     m.gauge("watcher.queue.length", "{change}", "Changes that wait for the Next of the slowest watcher."),
		malformed: m.counter(
			"malformed_records", "{record}",
			"Values that were skipped because they are no records; one that is read again counts again.",
		),
	}
	duration, err := m.Float64Histogram("etcd.registry.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Time that requests to etcd took, by method and error."),
		metric.WithExplicitBucketBoundaries(durationBounds...))
	i.duration = made(m, duration, err)
	return i
}
