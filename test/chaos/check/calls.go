package check

import (
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/test/chaos/history"
)

// checkBounds checks P6: every call returns in time.
func (h *timeline) checkBounds() []Violation {
	var found []Violation
	for _, e := range h.events {
		if e.Bound == 0 {
			continue
		}
		took := e.Took
		for _, p := range h.pauses[e.Process] {
			if held := p.overlap(interval{e.At, e.End()}).length(); held > 0 {
				took -= held
			}
		}
		if took > e.Bound+Noise {
			what := e.Op
			if e.Kind == history.KindView {
				what = "lookup of " + e.Name
			}
			found = append(found, violationf("P6", e.At, "%s of %s took %v, more than %v",
				what, e.Process, took.Round(time.Millisecond), e.Bound))
		}
	}
	return found
}

// checkAvailability checks that lookups go on from the last view (P5), and that watchers do until they are stopped
// (P4).
func (h *timeline) checkAvailability() []Violation {
	var found []Violation
	for v, seen := range h.views {
		answered := false
		for _, e := range seen {
			known := e.Err == "" || e.Err == registry.ErrNotFound.Error()
			if answered && !known {
				found = append(found, violationf("P5", e.At, "a lookup of %s by %s failed: %s",
					v.name, v.process, e.Err))
			}
			answered = answered || known
		}
	}
	for _, e := range h.events {
		over, closed := h.over[e.Process]
		if e.Kind == history.KindStopped && e.Err != registry.ErrWatcherStopped.Error() &&
			(!closed || e.At.Before(over.At)) {
			found = append(found, violationf("P4", e.At, "watcher %d of %s failed: %s", e.Watcher, e.Process, e.Err))
		}
	}
	return found
}

// checkLeaks checks P6: after Close nothing is left, neither in the process nor in etcd.
func (h *timeline) checkLeaks() []Violation {
	var found []Violation
	looked, told := false, map[string]bool{}
	for _, e := range h.events {
		switch e.Kind {
		case history.KindLeft:
			told[e.Process] = true
			if e.Text != "" {
				found = append(found, Violation{"P6", e.At, e.Process + " has goroutines after Close: " + e.Text})
			}
		case history.KindRemain:
			looked = true
			if e.Text != "" {
				found = append(found, Violation{"P6", e.At, "etcd has leftovers: " + e.Text})
			}
		default:
		}
	}
	if !looked {
		found = append(found, Violation{"P6", h.end, "nobody has looked for leftovers in etcd"})
	}
	for process, o := range h.over {
		if o.Kind == history.KindClosed && !told[process] {
			found = append(found, Violation{"P6", o.At, process + " hasn't said what Close left"})
		}
	}
	return found
}
