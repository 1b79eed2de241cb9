package check

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
)

// checkMonotonic checks P4: no view and no watcher goes back in time, unless etcd does.
func (h *timeline) checkMonotonic() []Violation {
	var found []Violation
	type source struct{ who, key, owner string }
	newest := map[source]int{}
	note := func(e *history.Event, who string, s *registry.Service) {
		for key, value := range record.ByKey([]*registry.Service{s}) {
			r := record.Parse(value)
			seq, err := strconv.Atoi(r.Nodes[0].Metadata[record.SeqKey])
			if err != nil {
				continue
			}
			from := source{who, key, record.OwnerOf(r)}
			if seq < newest[from] && !h.mayRegress(e.At) {
				found = append(found, violationf("P4", e.At, "%s shows %s of %s as it was before: %d after %d",
					who, key, record.OwnerOf(r), seq, newest[from]))
			}
			newest[from] = seq
		}
	}
	for _, e := range h.events {
		switch e.Kind {
		case history.KindSeen:
			if e.Action != "delete" {
				note(e, fmt.Sprint(e.Process, "'s watcher ", e.Watcher), e.Service)
			}
		case history.KindView:
			for _, s := range e.Services {
				note(e, e.Process+"'s view by "+e.Via, s)
			}
		default:
		}
	}
	return found
}

// mayRegress reports whether etcd's own data may have gone back at that time, or shortly before: by another history, of
// which views learn within a probe's interval, or by a write that a fault has held up.
func (h *timeline) mayRegress(at time.Time) bool {
	return slices.ContainsFunc(h.faults, func(f *history.Event) bool {
		late := healBound
		switch f.Op {
		case history.FaultUser:
			return false
		case history.FaultData:
			late = ProbeInterval + Noise
		default:
		}
		return !at.Before(f.At) && at.Before(f.End().Add(late))
	})
}
