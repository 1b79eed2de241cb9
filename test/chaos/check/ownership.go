package check

import (
	"slices"
	"time"

	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
)

// ownership is the time in which a process wants the same record, or one of two, at a key.
type ownership struct {
	process, key string
	ttl          time.Duration
	began        time.Time // the Register that took the key
	must         interval  // the record has to be there
	accept       []string  // values of it
	gone         time.Time // when it may still be there at the latest
}

// ownerships returns what every process wanted, when.
func (h *timeline) ownerships() []*ownership {
	var all []*ownership
	for process, keys := range h.calls {
		for key, calls := range keys {
			all = append(all, h.ownershipsOf(process, key, calls)...)
		}
	}
	return all
}

func (h *timeline) ownershipsOf(process, key string, calls []*history.Event) []*ownership {
	l := &ownershipLog{process: process, key: key}
	for _, c := range calls {
		if c.Op == "register" {
			l.register(c)
			continue
		}
		l.finish(c.At)
		h.release(l.all, c.End(), c.Err == "")
	}
	over := h.end
	if o, ok := h.over[process]; ok {
		over = o.At
	}
	l.finish(over)
	h.release(l.all, over, false)
	return l.all
}

// ownershipLog follows what one process wants at one key.
type ownershipLog struct {
	process, key string
	all          []*ownership
	now          *ownership // nil while nothing is wanted
}

func (l *ownershipLog) register(c *history.Event) {
	value := record.Canonical(c.Service)
	if t := l.now; t != nil && t.accept[len(t.accept)-1] == value { // a repeat doesn't take the key
		if c.Err == "" && (len(t.accept) > 1 || t.must.from.IsZero()) {
			l.begin(c, t.began, c.End(), value)
		}
		return
	}
	if t := l.now; t != nil && !t.must.from.IsZero() { // what was there may be until etcd has taken this
		l.begin(c, c.At, c.At, append(slices.Clone(t.accept), value)...)
	} else {
		l.begin(c, c.At, time.Time{}, value)
	}
	if c.Err == "" {
		l.begin(c, c.At, c.End(), value)
	}
}

// begin ends the present ownership and begins another one, of which nothing is sure if from is zero.
func (l *ownershipLog) begin(c *history.Event, began, from time.Time, accept ...string) {
	until := from
	if until.IsZero() {
		until = c.At
	}
	l.finish(until)
	l.now = &ownership{
		process: l.process,
		key:     l.key,
		ttl:     c.TTL,
		began:   began,
		must:    interval{from: from},
		accept:  accept,
	}
}

func (l *ownershipLog) finish(at time.Time) {
	if l.now == nil {
		return
	}
	l.now.must.to = at
	if l.now.must.from.IsZero() {
		l.now.must.from = at
	}
	l.all = append(l.all, l.now)
	l.now = nil
}

// release says until when the records of ownerships that haven't been released may be there, after their owner has let
// go.
func (h *timeline) release(all []*ownership, at time.Time, confirmed bool) {
	for _, t := range all {
		if !t.gone.IsZero() {
			continue
		}
		t.gone = at
		if o, ok := h.over[t.process]; ok && !at.Before(o.At) { // by the end of its process
			c, closed := h.closes[t.process]
			confirmed = closed && c.Err == ""
			if closed {
				t.gone = c.End()
			}
		}
		if !confirmed {
			t.gone = h.expiry(t.gone, t.ttl)
		}
	}
}

// forever is later than any history.
const forever = 1000 * time.Hour

// expiry returns when a lease that nobody renews from a time on has run out at the latest. A new leader gives every
// lease its TTL again, and without a leader none runs out.
func (h *timeline) expiry(from time.Time, ttl time.Duration) time.Time {
	if ttl == 0 {
		return from.Add(forever)
	}
	out := from.Add(ttl + ExpirySlack)
	for _, d := range h.disorders {
		if again := d.to.Add(ttl + ExpirySlack); !d.from.After(out) && again.After(out) {
			out = again
		}
	}
	return out
}
