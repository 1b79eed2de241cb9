package page

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/etcderr"
)

const (
	maxEvents   = 200 // kept, and in one delta
	maxDeparted = 1000
)

// view is what the page shows of the registry. Its methods may be called from several goroutines.
type view struct {
	prefix string
	began  time.Time

	mu       sync.Mutex
	services map[string]*service
	homes    map[string]string // service by key, because a record may be overwritten with another service's
	nodes    int               // of all services
	total    history
	events   []event
	number   int64 // of the last event
	link     link
	missing  map[string]clientv3.LeaseID // leases that the last list of all didn't have, by the keys that hang on them

	// since the last delta
	dirty map[string]struct{}
	told  int64 // number of the last event in it
}

// link is the connection to etcd as the view knows it.
type link struct {
	read      bool // it was connected once
	connected bool
	since     time.Time
	heard     time.Time
	err       string
	refused   bool      // err is etcd's answer
	settled   time.Time // when what etcd lost is back, after its data was wiped or restored; zero for never
}

func newView(prefix string) *view {
	now := time.Now()
	return &view{
		prefix: prefix, began: now, link: link{since: now},
		services: make(map[string]*service), homes: make(map[string]string), dirty: make(map[string]struct{}),
	}
}

// count returns how many services have nodes in service, and how many nodes that are.
func (v *view) count() (services, nodes int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.services {
		services += s.folded.Services()
	}
	return services, v.nodes
}

// apply folds events into the view, all at once.
func (v *view) apply(events ...fleet.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	for _, e := range events {
		v.applyLocked(e, now)
	}
}

func (v *view) applyLocked(e fleet.Event, now time.Time) {
	if e.Kind != fleet.Disconnected {
		v.link.heard = now
	}
	switch e.Kind {
	case fleet.Connected, fleet.Disconnected:
		v.linked(e, now)
	case fleet.Appeared, fleet.Changed:
		v.put(e.Record, e.Swap, now)
	case fleet.Gone:
		v.gone(e.Before.Key, e.Swap, now)
	}
}

func (v *view) linked(e fleet.Event, now time.Time) {
	connected, text := e.Kind == fleet.Connected, ""
	if e.Err != nil {
		text = clip(connect.Explain(e.Err).Error())
	}
	v.link.read = v.link.read || connected
	if e.Rewritten {
		v.link.settled = now.Add(fleet.SettleTime)
	}
	if connected != v.link.connected {
		v.link.connected, v.link.since = connected, now
		kind := "disconnected"
		if connected {
			kind = "connected"
		}
		v.tell(event{Kind: kind, Error: text}, now)
	}
	v.link.err, v.link.refused = text, etcderr.IsRefused(e.Err)
}

// put takes in a record. swap says that it comes in the place of its notice, or a notice in that of its record.
func (v *view) put(r *fleet.Record, swap bool, now time.Time) {
	fresh := newEntry(r, v.prefix)
	old := v.find(r.Key)
	if old != nil && old.service != fresh.service {
		v.gone(r.Key, false, now)
		old = nil
	}
	s := v.services[fresh.service]
	if s == nil {
		s = newService(fresh.service)
		v.services[s.name] = s
	}
	if len(s.history) == 0 && !r.Before {
		s.history.note(now.Add(-historyStep), 0)
	}
	s.departed = time.Time{}
	s.put(fresh)
	v.homes[r.Key] = s.name
	if !isAcknowledgment(old, r) && (!r.Before || old != nil) {
		s.changed = now
		e := describe(fresh)
		switch {
		case swap && r.IsNotice():
			e.Kind = "out"
		case swap:
			e.Kind = "back"
		case old == nil:
			e.Kind = "appeared"
		default:
			e.Kind = "changed"
			if old.version != fresh.version {
				e.Former = old.version
			}
		}
		v.tell(e, now)
	}
	v.touch(s, now, r.Before && old == nil)
}

// isAcknowledgment reports whether a notice says nothing new to people.
func isAcknowledgment(old *entry, r *fleet.Record) bool {
	if old == nil || !old.record.IsNotice() || !r.IsNotice() {
		return false
	}
	x, y := old.record.Notice, r.Notice
	return x.Reason == y.Reason && x.By == y.By && x.Until.Equal(y.Until)
}

// gone takes out a key. swap says that something else comes in its place, which is told then.
func (v *view) gone(key string, swap bool, now time.Time) {
	old := v.find(key)
	if old == nil {
		return
	}
	s := v.services[old.service]
	s.remove(key)
	delete(v.homes, key)
	s.changed = now
	if len(s.entries) == 0 {
		s.departed = now
	}
	if !swap {
		e := describe(old)
		e.Kind = "gone"
		v.tell(e, now)
	}
	v.touch(s, now, false)
}

func (v *view) find(key string) *entry {
	if s := v.services[v.homes[key]]; s != nil {
		return s.entries[key]
	}
	return nil
}

// touch notes that a service changed, or, if begins, that it was there before.
func (v *view) touch(s *service, now time.Time, begins bool) {
	note := (*history).note
	if begins {
		note = (*history).begin
	}
	v.nodes += s.nodes() - s.counted
	s.counted = s.nodes()
	note(&s.history, now, s.counted)
	note(&v.total, now, v.nodes)
	v.dirty[s.name] = struct{}{}
}

func (v *view) tell(e event, now time.Time) {
	v.number++
	e.Number, e.At = v.number, now.UnixMilli()
	if len(v.events) == maxEvents {
		v.events = append(v.events[:0], v.events[1:]...)
	}
	v.events = append(v.events, e)
}

func describe(e *entry) event {
	d := event{Service: e.service, Version: e.version, Node: label(e.record.Key)}
	if o := e.record.Notice; o != nil {
		d.Reason, d.By = clip(o.Reason), label(o.By)
	}
	if n := e.record.Node(); n != nil {
		d.Node, d.Address = label(n.Id), label(n.Address)
	} else if e.record.Err != nil {
		d.Error = clip(e.record.Err.Error())
	}
	return d
}

// snapshot is everything.
func (v *view) snapshot() snapshot {
	v.mu.Lock()
	defer v.mu.Unlock()
	snap := snapshot{
		Now: time.Now().UnixMilli(), Began: v.began.UnixMilli(), Prefix: v.prefix, Span: int64(historySpan / time.Second),
		Services: make([]summary, 0, len(v.services)), Total: slices.Clone(v.total), Events: slices.Clone(v.events),
	}
	for _, s := range v.services {
		if len(s.entries) > 0 {
			snap.Services = append(snap.Services, s.summary(slices.Clone(s.history)))
		}
	}
	return snap
}

// take returns what changed since take was called before, and whether anything did.
func (v *view) take() (delta, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	d := delta{Now: now.UnixMilli()}
	for name := range v.dirty {
		if s := v.services[name]; len(s.entries) > 0 {
			d.Services = append(d.Services, s.summary(slices.Clone(s.history.latest())))
		} else {
			d.Gone = append(d.Gone, name)
		}
	}
	if len(v.dirty) > 0 {
		d.Total = slices.Clone(v.total.latest())
	}
	first, _ := slices.BinarySearchFunc(v.events, v.told+1, func(e event, n int64) int { return cmp.Compare(e.Number, n) })
	d.Events = slices.Clone(v.events[first:])
	changed := len(v.dirty) > 0 || len(d.Events) > 0
	v.told = v.number
	clear(v.dirty)
	v.forget(now)
	return d, changed
}

// forget drops the services that departed long ago, or the oldest ones if there are too many.
func (v *view) forget(now time.Time) {
	var departed []*service
	for s := range maps.Values(v.services) {
		if s.departed.IsZero() {
			continue
		}
		if now.Sub(s.departed) > historySpan {
			delete(v.services, s.name)
			continue
		}
		departed = append(departed, s)
	}
	if len(departed) <= maxDeparted {
		return
	}
	slices.SortFunc(departed, func(a, b *service) int { return a.departed.Compare(b.departed) })
	for _, s := range departed[:len(departed)-maxDeparted] {
		delete(v.services, s.name)
	}
}

// heard notes that etcd answered.
func (v *view) heard() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.link.heard = time.Now()
}

func (v *view) connection() link {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.link
}
