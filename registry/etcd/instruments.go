package etcd

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

func (m *metrics) observe(o metric.Observer, i *instruments, s Status) {
	m.leases.observe(o, i.leases)
	m.reregistrations.observe(o, i.reregistrations)
	m.lists.observe(o, i.lists)
	m.events.observe(o, i.events)
	m.lookups.observe(o, i.lookups)
	m.requests.observe(o, i.requests)
	o.ObserveInt64(i.malformed, int64(s.Malformed)) //nolint:gosec // nobody counts so far
	i.observeRegistrations(o, s.Registrations)
	i.observeViews(o, s.Followed)
}

func (i *instruments) observeRegistrations(o metric.Observer, all []RegistrationStatus) {
	states := map[string]int64{stateRegistered: 0, statePending: 0, stateSuperseded: 0, stateLeaving: 0}
	var age time.Duration
	for at := range all {
		states[all[at].State]++
		age = max(age, all[at].Renewed)
	}
	for state, n := range states {
		o.ObserveInt64(i.registrations, n, label("state", state))
	}
	o.ObserveFloat64(i.keepaliveAge, age.Seconds())
}

func (i *instruments) observeViews(o metric.Observer, all []FollowedStatus) {
	states := map[string]int64{"current": 0, "stale": 0, "unready": 0}
	var staleness time.Duration
	var watchers, queue int
	var revision int64
	for _, f := range all {
		switch {
		case !f.Ready:
			states["unready"]++
		case f.Err != nil:
			states["stale"]++
		default:
			states["current"]++
		}
		staleness, revision = max(staleness, f.Stale), max(revision, f.Revision)
		watchers, queue = watchers+f.Watchers, max(queue, f.Queued)
	}
	for state, n := range states {
		o.ObserveInt64(i.views, n, label("state", state))
	}
	o.ObserveFloat64(i.staleness, staleness.Seconds())
	o.ObserveInt64(i.revision, revision)
	o.ObserveInt64(i.watchers, int64(watchers))
	o.ObserveInt64(i.queue, int64(queue))
}

func label(name, value string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String(name, value)))
}
