package chaos

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/registry"
)

// kind says what an event is about, and so which of its fields are set.
type kind string

const (
	// What a service process says.
	kindCall     kind = "call"     // a Register, Deregister, Watch, Close, ...: Op, Took, Err, Service, TTL, Bound
	kindWatching kind = "watching" // a watcher began: Watcher, Name, Services as looked up before
	kindSeen     kind = "seen"     // what its Next returned: Watcher, Action, Service
	kindStopped  kind = "stopped"  // its Next returned an error: Watcher, Err
	kindView     kind = "view"     // a lookup said something new, or took long: Name, Via, Services, Err, Took, Bound
	kindDone     kind = "done"     // a command was carried out: ID, Err, Text, Took
	kindLeft     kind = "left"     // goroutines after Close: Text

	// What the scenario says.
	kindBegan  kind = "began"  // a process was started
	kindKilled kind = "killed" // a process was killed
	kindClosed kind = "closed" // a process was asked to close
	kindPause  kind = "pause"  // a process was stopped by SIGSTOP for Took
	kindTruth  kind = "truth"  // etcd's records changed: Records, or Err if etcd can't be asked
	kindFault  kind = "fault"  // a fault: Text, and as Op what it is one of
	kindExcuse kind = "excuse" // for Took, records may be missing, or those of the dead be there: Text
	kindQuiet  kind = "quiet"  // nothing happens any more: now all must agree
	kindRemain kind = "remain" // what was left in etcd after everybody closed: Text
)

// event is one line of a history.
type event struct {
	At      time.Time     `json:"at"`             // when it began
	Took    time.Duration `json:"took,omitempty"` // and how long it took
	Process string        `json:"process,omitempty"`
	Kind    kind          `json:"kind"`

	ID       int                 `json:"id,omitempty"`
	Op       string              `json:"op,omitempty"`
	Err      string              `json:"err,omitempty"`
	Text     string              `json:"text,omitempty"`
	Service  *registry.Service   `json:"service,omitempty"`
	TTL      time.Duration       `json:"ttl,omitempty"`
	Bound    time.Duration       `json:"bound,omitempty"`
	Watcher  int                 `json:"watcher,omitempty"`
	Action   string              `json:"action,omitempty"`
	Name     string              `json:"name,omitempty"`
	Via      string              `json:"via,omitempty"`
	Services []*registry.Service `json:"services,omitempty"`
	Records  map[string]string   `json:"records,omitempty"` // value by key without the prefix
	Before   time.Time           `json:"before,omitzero"`   // of views and truths: when the one before was last seen
}

func (e *event) end() time.Time { return e.At.Add(e.Took) }

// history is everything that was said in one run, in the order in which it arrived.
type history struct {
	observed atomic.Int64 // when the last look at etcd began, in Unix nanoseconds

	mu     sync.Mutex
	events []*event
}

func (h *history) add(e event) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, &e)
}

// all returns the events by the time at which they began.
func (h *history) all() []*event {
	h.mu.Lock()
	defer h.mu.Unlock()
	events := slices.Clone(h.events)
	slices.SortStableFunc(events, func(a, b *event) int { return a.At.Compare(b.At) })
	return events
}

// lines returns the history as JSON lines.
func (h *history) lines() []byte {
	var all []byte
	for _, e := range h.all() {
		line, err := json.Marshal(e)
		if err != nil {
			panic(err) // strings and numbers
		}
		all = append(append(all, line...), '\n')
	}
	return all
}

// record is the service as it stands in one key.
func record(service, version, node, owner, seq string) *registry.Service {
	return &registry.Service{
		Name: service, Version: version,
		Metadata: map[string]string{"service": service},
		Nodes: []*registry.Node{{
			Id: node, Address: "10.0.0.1:80", Metadata: map[string]string{ownerKey: owner, seqKey: seq},
		}},
	}
}

// Each record says whose it is, and which of its owner's.
const (
	ownerKey = "owner"
	seqKey   = "seq"
)

// keyOf returns the key of a service's only node, without the prefix.
func keyOf(s *registry.Service) string { return s.Name + "/" + s.Nodes[0].Id }

func ownerOf(s *registry.Service) string {
	if len(s.Nodes) == 0 || s.Nodes[0] == nil {
		return ""
	}
	return s.Nodes[0].Metadata[ownerKey]
}

// parse returns a stored record, or nil for junk.
func parse(value string) *registry.Service {
	var s registry.Service
	if json.Unmarshal([]byte(value), &s) != nil || len(s.Nodes) != 1 || s.Nodes[0] == nil {
		return nil
	}
	return &s
}

// markOf says which record a stored value is: its owner's name and which of its owner's it is.
func markOf(value string) string {
	s := parse(value)
	if s == nil {
		return ""
	}
	return ownerOf(s) + "#" + s.Nodes[0].Metadata[seqKey]
}

// canonical returns what makes two services equal to their users.
func canonical(s *registry.Service) string {
	c := *s
	c.Metadata, c.Endpoints, c.Nodes = orNil(s.Metadata), s.Endpoints, nil
	if len(c.Endpoints) == 0 {
		c.Endpoints = nil
	}
	for _, n := range s.Nodes {
		copied := *n
		copied.Metadata = orNil(n.Metadata)
		c.Nodes = append(c.Nodes, &copied)
	}
	slices.SortFunc(c.Nodes, func(a, b *registry.Node) int { return strings.Compare(a.Id, b.Id) })
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings only
	}
	return string(text)
}

func orNil(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}
