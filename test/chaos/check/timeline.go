package check

import (
	"slices"
	"time"

	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
)

// timeline is a history, indexed by what the checks ask for.
type timeline struct {
	events  []*history.Event
	end     time.Time
	truths  []*history.Event
	views   map[viewer][]*history.Event
	calls   map[string]map[string][]*history.Event // of Register and Deregister, by process and key
	over    map[string]*history.Event              // how each process ended: KindKilled or KindClosed
	closes  map[string]*history.Event              // its call of Close
	excuses []*history.Event
	pauses  map[string][]interval
	faults  []*history.Event
	quiet   time.Time // when nothing happened any more

	disorders []interval // faults of etcd's processes, and when it couldn't be asked: by time
}

// viewer is one of the ways in which a process looks a service up.
type viewer struct{ process, name, via string }

func newTimeline(events []*history.Event) *timeline {
	h := &timeline{
		events: events, views: map[viewer][]*history.Event{}, calls: map[string]map[string][]*history.Event{},
		over: map[string]*history.Event{}, closes: map[string]*history.Event{}, pauses: map[string][]interval{},
	}
	for _, e := range events {
		if e.End().After(h.end) {
			h.end = e.End()
		}
		switch e.Kind {
		case history.KindTruth:
			if n := len(h.truths); n > 0 && h.truths[n-1].Err != "" {
				h.disorders = append(h.disorders, interval{h.truths[n-1].At, e.End()})
			}
			h.truths = append(h.truths, e)
		case history.KindView:
			if e.Via != "call" {
				v := viewer{e.Process, e.Name, e.Via}
				h.views[v] = append(h.views[v], e)
			}
		case history.KindCall:
			h.readCall(e)
		case history.KindKilled, history.KindClosed:
			h.over[e.Process] = e
		case history.KindExcuse:
			h.excuses = append(h.excuses, e)
		case history.KindPause:
			h.pauses[e.Process] = append(h.pauses[e.Process], interval{e.At, e.End()})
		case history.KindFault:
			h.faults = append(h.faults, e)
			if e.Op == history.FaultProcess || e.Op == history.FaultData {
				h.disorders = append(h.disorders, interval{e.At, e.End()})
			}
		case history.KindQuiet:
			h.quiet = e.At
		default:
		}
	}
	slices.SortFunc(h.disorders, func(a, b interval) int { return a.from.Compare(b.from) })
	return h
}

func (h *timeline) readCall(e *history.Event) {
	switch e.Op {
	case "register", "deregister":
		if h.calls[e.Process] == nil {
			h.calls[e.Process] = map[string][]*history.Event{}
		}
		key := record.KeyOf(e.Service)
		h.calls[e.Process][key] = append(h.calls[e.Process][key], e)
	case "close":
		h.closes[e.Process] = e
	}
}

// excused returns the times in which a process, or etcd if it is none, can't be held to P2, made longer by lag.
func (h *timeline) excused(process string, lag time.Duration) []interval {
	var intervals []interval
	for _, e := range h.excuses {
		if e.Process == "" || e.Process == process {
			intervals = append(intervals, interval{e.At, e.End().Add(lag)})
		}
	}
	for _, p := range h.pauses[process] {
		intervals = append(intervals, interval{p.from, p.to.Add(lag)})
	}
	return intervals
}

// during calls f with each thing that etcd was known to hold, or a view to say, and for how long. What lies between two
// observations is known of neither.
func during(seen []*history.Event, end time.Time, f func(*history.Event, interval)) {
	for i, e := range seen {
		s := interval{e.End(), end}
		if i+1 < len(seen) {
			s.to = seen[i+1].Before
		}
		if s.length() > 0 {
			f(e, s)
		}
	}
}
