package check

import (
	"slices"
	"time"

	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
)

// checkLiveness checks P2: what is registered is there, in etcd and in every view.
func (h *timeline) checkLiveness() []Violation {
	var found []Violation
	all := h.ownerships()
	for _, t := range all {
		held := h.takeovers(t, all)
		for _, s := range h.missing(t) {
			for _, bad := range s.minus(append(held, h.excused("", 0)...)) {
				found = append(found, violationf("P2", bad.from, "%s of %s isn't in etcd for %v",
					t.key, t.process, bad.length()))
			}
		}
		for v := range h.views {
			if v.name == record.ServiceOf(t.key) {
				found = append(found, h.checkViewLiveness(v, t, held)...)
			}
		}
		found = append(found, h.checkDeletes(t, held)...)
	}
	return found
}

// checkDeletes checks that no watcher is told that the record has gone, however shortly.
func (h *timeline) checkDeletes(t *ownership, held []interval) []Violation {
	var found []Violation
	for _, e := range h.events {
		if e.Kind != history.KindSeen || e.Action != "delete" || record.KeyOf(e.Service) != t.key ||
			record.OwnerOf(e.Service) != t.process {
			continue
		}
		in := func(s interval) bool { return !e.At.Before(s.from) && e.At.Before(s.to) }
		must := interval{t.must.from.Add(ViewLag), t.must.to}
		if in(must) && !slices.ContainsFunc(h.allowedIn(e.Process, held), in) {
			found = append(found, violationf("P2", e.At, "watcher %d of %s is told that %s of %s has gone",
				e.Watcher, e.Process, t.key, t.process))
		}
	}
	return found
}

// allowedIn returns when a process needn't see a record that others may hold at some times.
func (h *timeline) allowedIn(process string, held []interval) []interval {
	allowed := append(slices.Clone(held), h.excused(process, ViewLag)...)
	for i := range allowed {
		allowed[i].to = allowed[i].to.Add(ViewLag)
	}
	return allowed
}

// checkViewLiveness checks a view, which may lag.
func (h *timeline) checkViewLiveness(v viewer, t *ownership, held []interval) []Violation {
	late := *t
	late.must.from = late.must.from.Add(ViewLag)
	allowed := h.allowedIn(v.process, held)
	var found []Violation
	records := func(e *history.Event) (map[string]string, bool) { return record.ByKey(e.Services), true }
	for _, s := range h.absences(h.views[v], &late, records) {
		if o, ok := h.over[v.process]; ok && o.At.Before(s.to) {
			s.to = o.At
		}
		for _, bad := range s.minus(allowed) {
			found = append(found, violationf("P2", bad.from, "%s of %s isn't in the view of %s (%s) for %v",
				t.key, t.process, v.process, v.via, bad.length()))
		}
	}
	return found
}

// missing returns when the record of an ownership wasn't in etcd, excused or not.
func (h *timeline) missing(t *ownership) []interval {
	return h.absences(h.truths, t, func(e *history.Event) (map[string]string, bool) { return e.Records, e.Err == "" })
}

// LongestGap returns for how long a record was missing from etcd at most, excused or not, while nobody else had the
// key.
func LongestGap(events []*history.Event) time.Duration {
	h := newTimeline(events)
	longest := time.Duration(0)
	all := h.ownerships()
	for _, t := range all {
		for _, s := range h.missing(t) {
			for _, gap := range s.minus(h.takeovers(t, all)) {
				longest = max(longest, gap.length())
			}
		}
	}
	return longest
}

// absences returns when the record of an ownership was missing among what was seen. Excuses and takeovers may cover
// them.
func (h *timeline) absences(
	seen []*history.Event, t *ownership, records func(*history.Event) (map[string]string, bool),
) []interval {
	var intervals []interval
	during(seen, h.end, func(e *history.Event, s interval) {
		have, known := records(e)
		if known && !slices.Contains(t.accept, have[t.key]) {
			if s = s.overlap(t.must); s.length() > 0 {
				intervals = append(intervals, s)
			}
		}
	})
	return intervals
}

// takeovers returns when another process may have the key, because it took it later.
func (h *timeline) takeovers(t *ownership, all []*ownership) []interval {
	var intervals []interval
	for _, o := range all {
		if o.key == t.key && o.process != t.process && o.began.After(t.began) {
			intervals = append(intervals, interval{o.began, o.gone.Add(healBound)})
		}
	}
	return intervals
}
