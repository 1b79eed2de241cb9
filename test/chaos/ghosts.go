package chaos

import (
	"fmt"
	"slices"
	"time"
)

// ghosts checks P3: what is gone isn't there, in etcd and in every view.
func (h *story) ghosts() []violation {
	var found []violation
	allowed := h.allowed()
	during(h.truths, h.end, func(e *event, s span) {
		for key, value := range e.Records {
			for _, bad := range h.unowned(allowed, key, ownerIn(value), s, 0) {
				found = append(found, violation{"P3", bad.from, fmt.Sprintf("%s of %s is in etcd for %v too long", key, ownerIn(value), bad.length())})
			}
		}
	})
	for v, seen := range h.views {
		during(seen, h.end, func(e *event, s span) {
			if o, ok := h.over[v.process]; ok && o.At.Before(s.to) {
				s.to = o.At
			}
			for key, value := range shown(e.Services) {
				for _, bad := range h.unowned(allowed, key, ownerIn(value), s, viewLag) {
					for _, bad := range bad.minus(h.excused(v.process, viewLag)) {
						found = append(found, violation{"P3", bad.from, fmt.Sprintf("%s of %s is in the view of %s (%s) for %v too long", key, ownerIn(value), v.process, v.via, bad.length())})
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
func (h *story) allowed() map[owned][]*tenure {
	all := map[owned][]*tenure{}
	for _, t := range h.tenures() {
		k := owned{t.key, t.process}
		all[k] = append(all[k], t)
	}
	return all
}

// unowned returns the parts of a span in which the key's record has no owner. Wiped or restored data may show what was
// gone for a TTL.
func (h *story) unowned(allowed map[owned][]*tenure, key, owner string, s span, lag time.Duration) []span {
	if owner == "" { // junk isn't ours
		return nil
	}
	var spans []span
	longest := time.Second
	for _, t := range allowed[owned{key, owner}] {
		spans = append(spans, span{t.began, t.gone.Add(lag)})
		longest = max(longest, t.ttl)
	}
	for _, f := range h.faults {
		if f.Op == faultData {
			spans = append(spans, span{f.At, h.expiry(f.end(), longest).Add(lag)})
		}
	}
	return slices.Clone(s.minus(spans))
}
