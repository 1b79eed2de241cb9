package chaos

import (
	"fmt"
	"slices"
	"time"
)

// tenure is the time in which a process wants the same record, or one of two, at a key.
type tenure struct {
	process, key string
	ttl          time.Duration
	began        time.Time // the Register that took the key
	must         span      // the record has to be there
	accept       []string  // values of it
	gone         time.Time // when it may still be there at the latest
}

// presence checks P2: what is registered is there, in etcd and in every view.
func (h *story) presence() []violation {
	var found []violation
	all := h.tenures()
	for _, t := range all {
		held := h.takeovers(t, all)
		for _, s := range h.missing(t) {
			for _, bad := range s.minus(append(held, h.excused("", 0)...)) {
				found = append(found, violation{"P2", bad.from, fmt.Sprintf("%s of %s isn't in etcd for %v", t.key, t.process, bad.length())})
			}
		}
		for v := range h.views {
			if v.name == serviceOf(t.key) {
				found = append(found, h.presenceIn(v, t, held)...)
			}
		}
		found = append(found, h.farewells(t, held)...)
	}
	return found
}

// farewells checks that no watcher is told that the record has gone, however shortly.
func (h *story) farewells(t *tenure, held []span) []violation {
	var found []violation
	for _, e := range h.events {
		if e.Kind != kindSeen || e.Action != "delete" || keyOf(e.Service) != t.key || ownerOf(e.Service) != t.process {
			continue
		}
		in := func(s span) bool { return !e.At.Before(s.from) && e.At.Before(s.to) }
		must := span{t.must.from.Add(viewLag), t.must.to}
		if in(must) && !slices.ContainsFunc(h.allowedIn(e.Process, held), in) {
			text := fmt.Sprintf("watcher %d of %s is told that %s of %s has gone", e.Watcher, e.Process, t.key, t.process)
			found = append(found, violation{"P2", e.At, text})
		}
	}
	return found
}

// allowedIn returns when a process needn't see a record that others may hold at some times.
func (h *story) allowedIn(process string, held []span) []span {
	allowed := append(slices.Clone(held), h.excused(process, viewLag)...)
	for i := range allowed {
		allowed[i].to = allowed[i].to.Add(viewLag)
	}
	return allowed
}

// presenceIn checks a view, which may lag.
func (h *story) presenceIn(v viewer, t *tenure, held []span) []violation {
	late := *t
	late.must.from = late.must.from.Add(viewLag)
	allowed := h.allowedIn(v.process, held)
	var found []violation
	for _, s := range h.absences(h.views[v], &late, func(e *event) (map[string]string, bool) { return shown(e.Services), true }) {
		if o, ok := h.over[v.process]; ok && o.At.Before(s.to) {
			s.to = o.At
		}
		for _, bad := range s.minus(allowed) {
			text := fmt.Sprintf("%s of %s isn't in the view of %s (%s) for %v", t.key, t.process, v.process, v.via, bad.length())
			found = append(found, violation{"P2", bad.from, text})
		}
	}
	return found
}

// missing returns when the record of a tenure wasn't in etcd, excused or not.
func (h *story) missing(t *tenure) []span {
	return h.absences(h.truths, t, func(e *event) (map[string]string, bool) { return e.Records, e.Err == "" })
}

// longestGap returns for how long a record was missing from etcd at most, excused or not, while nobody else had the key.
func longestGap(events []*event) time.Duration {
	h := read(events)
	longest := time.Duration(0)
	all := h.tenures()
	for _, t := range all {
		for _, s := range h.missing(t) {
			for _, gap := range s.minus(h.takeovers(t, all)) {
				longest = max(longest, gap.length())
			}
		}
	}
	return longest
}

// absences returns when the record of a tenure was missing among what was seen. Excuses and takeovers may cover them.
func (h *story) absences(seen []*event, t *tenure, records func(*event) (map[string]string, bool)) []span {
	var spans []span
	during(seen, h.end, func(e *event, s span) {
		have, known := records(e)
		if known && !slices.Contains(t.accept, have[t.key]) {
			if s = s.overlap(t.must); s.length() > 0 {
				spans = append(spans, s)
			}
		}
	})
	return spans
}

// takeovers returns when another process may have the key, because it took it later.
func (h *story) takeovers(t *tenure, all []*tenure) []span {
	var spans []span
	for _, o := range all {
		if o.key == t.key && o.process != t.process && o.began.After(t.began) {
			spans = append(spans, span{o.began, o.gone.Add(healBound)})
		}
	}
	return spans
}

// tenures returns what every process wanted, when.
func (h *story) tenures() []*tenure {
	var all []*tenure
	for process, keys := range h.calls {
		for key, calls := range keys {
			all = append(all, h.tenuresOf(process, key, calls)...)
		}
	}
	return all
}

func (h *story) tenuresOf(process, key string, calls []*event) []*tenure {
	l := &ledger{process: process, key: key}
	for _, c := range calls {
		if c.Op == "register" {
			l.register(c)
			continue
		}
		l.finish(c.At)
		h.release(l.all, c.end(), c.Err == "")
	}
	over := h.end
	if o, ok := h.over[process]; ok {
		over = o.At
	}
	l.finish(over)
	h.release(l.all, over, false)
	return l.all
}

// ledger follows what one process wants at one key.
type ledger struct {
	process, key string
	all          []*tenure
	now          *tenure // nil while nothing is wanted
}

func (l *ledger) register(c *event) {
	value := canonical(c.Service)
	if t := l.now; t != nil && t.accept[len(t.accept)-1] == value { // a repeat doesn't take the key
		if c.Err == "" && (len(t.accept) > 1 || t.must.from.IsZero()) {
			l.begin(c, t.began, c.end(), value)
		}
		return
	}
	if t := l.now; t != nil && !t.must.from.IsZero() { // what was there may be until etcd has taken this
		l.begin(c, c.At, c.At, append(slices.Clone(t.accept), value)...)
	} else {
		l.begin(c, c.At, time.Time{}, value)
	}
	if c.Err == "" {
		l.begin(c, c.At, c.end(), value)
	}
}

// begin ends the present tenure and begins another one, of which nothing is sure if from is zero.
func (l *ledger) begin(c *event, began, from time.Time, accept ...string) {
	until := from
	if until.IsZero() {
		until = c.At
	}
	l.finish(until)
	l.now = &tenure{process: l.process, key: l.key, ttl: c.TTL, began: began, must: span{from: from}, accept: accept}
}

func (l *ledger) finish(at time.Time) {
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

// release says until when the records of tenures that haven't been released may be there, after their owner has let go.
func (h *story) release(all []*tenure, at time.Time, confirmed bool) {
	for _, t := range all {
		if !t.gone.IsZero() {
			continue
		}
		t.gone = at
		if o, ok := h.over[t.process]; ok && !at.Before(o.At) { // by the end of its process
			c, closed := h.closes[t.process]
			confirmed = closed && c.Err == ""
			if closed {
				t.gone = c.end()
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
func (h *story) expiry(from time.Time, ttl time.Duration) time.Time {
	if ttl == 0 {
		return from.Add(forever)
	}
	out := from.Add(ttl + expirySlack)
	for _, d := range h.disorders {
		if again := d.to.Add(ttl + expirySlack); !d.from.After(out) && again.After(out) {
			out = again
		}
	}
	return out
}
