package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go-micro.dev/v4/registry"
)

// What the promises allow, and what is added because a test's machine is slow.
const (
	// noise is how much longer than promised something may take here: other tests, and the race detector, want the
	// processors too. What was measured is reported without it.
	noise = 1500 * time.Millisecond
	// glance is how long something has to be so to be seen for certain: what is shorter may lie between two looks.
	glance = 100 * time.Millisecond
	// viewLag is how long a view may lag behind etcd.
	viewLag = time.Second + noise
	// expirySlack is how long after its TTL etcd may take to expire a lease: it elects, and looks every half second.
	expirySlack = 2*time.Second + noise
	// healBound is how soon an owner puts a record right that is missing or wrong.
	healBound = time.Second + noise
	// probeInterval is how long wiped and restored data may go unnoticed.
	probeInterval = 30 * time.Second
)

// violation is a promise that a history breaks.
type violation struct {
	promise string // P2, P3, ...
	at      time.Time
	text    string
}

func (v violation) String() string {
	return fmt.Sprintf("%s broken at %s: %s", v.promise, v.at.Format("15:04:05.000"), v.text)
}

// check holds a history against the promises.
func check(events []*event) []violation {
	h := read(events)
	return slices.Concat(h.presence(), h.ghosts(), h.agreement(), h.order(), h.answers(), h.bounds(), h.leftovers())
}

// story is a history, sorted by what the checks ask for.
type story struct {
	events  []*event
	end     time.Time
	truths  []*event
	views   map[viewer][]*event
	calls   map[string]map[string][]*event // of Register and Deregister, by process and key
	over    map[string]*event              // how each process ended: kindKilled or kindClosed
	closes  map[string]*event              // its call of Close
	excuses []*event
	pauses  map[string][]span
	faults  []*event
	quiet   time.Time // when nothing happened any more

	disorders []span // faults of etcd's processes, and when it couldn't be asked: by time
}

// viewer is one of the ways in which a process looks a service up.
type viewer struct{ process, name, via string }

func read(events []*event) *story {
	h := &story{
		events: events, views: map[viewer][]*event{}, calls: map[string]map[string][]*event{},
		over: map[string]*event{}, closes: map[string]*event{}, pauses: map[string][]span{},
	}
	for _, e := range events {
		if e.end().After(h.end) {
			h.end = e.end()
		}
		switch e.Kind {
		case kindTruth:
			if n := len(h.truths); n > 0 && h.truths[n-1].Err != "" {
				h.disorders = append(h.disorders, span{h.truths[n-1].At, e.end()})
			}
			h.truths = append(h.truths, e)
		case kindView:
			if e.Via != "call" {
				v := viewer{e.Process, e.Name, e.Via}
				h.views[v] = append(h.views[v], e)
			}
		case kindCall:
			h.readCall(e)
		case kindKilled, kindClosed:
			h.over[e.Process] = e
		case kindExcuse:
			h.excuses = append(h.excuses, e)
		case kindPause:
			h.pauses[e.Process] = append(h.pauses[e.Process], span{e.At, e.end()})
		case kindFault:
			h.faults = append(h.faults, e)
			if e.Op == faultProcess || e.Op == faultData {
				h.disorders = append(h.disorders, span{e.At, e.end()})
			}
		case kindQuiet:
			h.quiet = e.At
		default:
		}
	}
	slices.SortFunc(h.disorders, func(a, b span) int { return a.from.Compare(b.from) })
	return h
}

func (h *story) readCall(e *event) {
	switch e.Op {
	case "register", "deregister":
		if h.calls[e.Process] == nil {
			h.calls[e.Process] = map[string][]*event{}
		}
		key := keyOf(e.Service)
		h.calls[e.Process][key] = append(h.calls[e.Process][key], e)
	case "close":
		h.closes[e.Process] = e
	}
}

// excused returns the times in which a process, or etcd if it is none, can't be held to P2, made longer by lag.
func (h *story) excused(process string, lag time.Duration) []span {
	var spans []span
	for _, e := range h.excuses {
		if e.Process == "" || e.Process == process {
			spans = append(spans, span{e.At, e.end().Add(lag)})
		}
	}
	for _, p := range h.pauses[process] {
		spans = append(spans, span{p.from, p.to.Add(lag)})
	}
	return spans
}

// during calls f with each thing that etcd was known to hold, or a view to say, and for how long. What lies between two
// observations is known of neither.
func during(seen []*event, end time.Time, f func(*event, span)) {
	for i, e := range seen {
		s := span{e.end(), end}
		if i+1 < len(seen) {
			s.to = seen[i+1].Before
		}
		if s.length() > 0 {
			f(e, s)
		}
	}
}

// shown returns the records of a lookup, by key, each by itself.
func shown(services []*registry.Service) map[string]string {
	records := map[string]string{}
	for _, s := range services {
		for _, n := range s.Nodes {
			one := *s
			one.Nodes = []*registry.Node{n}
			records[keyOf(&one)] = canonical(&one)
		}
	}
	return records
}

// ownerIn returns whose a stored value is, "" for junk.
func ownerIn(value string) string {
	if s := parse(value); s != nil {
		return ownerOf(s)
	}
	return ""
}

// serviceOf returns the part of a key that names the service.
func serviceOf(key string) string {
	service, _, _ := strings.Cut(key, "/")
	return service
}
