// Package check holds a recorded history against the promises P2 to P6.
package check

import (
	"slices"

	"github.com/micro-etcd/micro-etcd/test/chaos/history"
)

// History holds a history against the promises.
func History(events []*history.Event) []Violation {
	h := newTimeline(events)
	return slices.Concat(h.checkLiveness(), h.checkStale(), h.checkConvergence(), h.checkMonotonic(),
		h.checkAvailability(), h.checkBounds(), h.checkLeaks())
}
