package check

import (
	"slices"
	"time"

	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
)

// checkStale checks P3: what is gone isn't there, in etcd and in every view.
func (h *timeline) checkStale() []Violation {
	var found []Violation
	allowed := h.allowed()
	during(h.truths, h.end, func(e *history.Event, s interval) {
		for key, value := range e.Records {
			for _, bad := range h.unowned(allowed, key, record.OwnerIn(value), s, 0) {
				found = append(found, violationf("P3", bad.from, "%s of %s is in etcd for %v too long",
					key, record.OwnerIn(value), bad.length()))
			}
		}
	})
	for v, seen := range h.views {
		during(seen, h.end, func(e *history.Event, s interval) {
			if o, ok := h.over[v.process]; ok && o.At.Before(s.to) {
				s.to = o.At
			}
			for key, value := range record.ByKey(e.Services) {
				for _, bad := range h.unowned(allowed, key, record.OwnerIn(value), s, ViewLag) {
					for _, bad := range bad.minus(h.excused(v.process, ViewLag)) {
						found = append(found, violationf("P3", bad.from, "%s of %s is in the view of %s (%s) for %v too long",
							key, record.OwnerIn(value), v.process, v.via, bad.length()))
					}
				}
			}
		})
	}
	return found
}

// owned is a key and one of those who had it.
type owned struct{ key, owner string }

// allowed returns when each process may be seen to have each key.
func (h *timeline) allowed() map[owned][]*ownership {
	all := map[owned][]*ownership{}
	for _, t := range h.ownerships() {
		k := owned{t.key, t.process}
		all[k] = append(all[k], t)
	}
	return all
}

// unowned returns the parts of an interval in which the key's record has no owner. Wiped or restored data may show what
// was gone for a TTL.
func (h *timeline) unowned(
	allowed map[owned][]*ownership, key, owner string, s interval, lag time.Duration,
) []interval {
	if owner == "" { // junk isn't ours
		return nil
	}
	var intervals []interval
	longest := time.Second
	for _, t := range allowed[owned{key, owner}] {
		intervals = append(intervals, interval{t.began, t.gone.Add(lag)})
		longest = max(longest, t.ttl)
	}
	for _, f := range h.faults {
		if f.Op == history.FaultData {
			intervals = append(intervals, interval{f.At, h.expiry(f.End(), longest).Add(lag)})
		}
	}
	return slices.Clone(s.minus(intervals))
}
