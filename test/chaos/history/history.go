// Package history records what everybody did and saw in a run, with times.
package history

import (
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// History is everything that was said in one run, in the order in which it arrived.
type History struct {
	Observed atomic.Int64 // when the last look at etcd began, in Unix nanoseconds

	mu     sync.Mutex
	events []*Event
}

// Add adds an event, which began now if it says nothing else.
func (h *History) Add(e Event) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, &e)
}

// All returns the events by the time at which they began.
func (h *History) All() []*Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	events := slices.Clone(h.events)
	slices.SortStableFunc(events, func(a, b *Event) int { return a.At.Compare(b.At) })
	return events
}

// Lines returns the history as JSON lines.
func (h *History) Lines() []byte {
	var all []byte
	for _, e := range h.All() {
		line, err := json.Marshal(e)
		if err != nil {
			panic(err) // strings and numbers
		}
		all = append(append(all, line...), '\n')
	}
	return all
}
