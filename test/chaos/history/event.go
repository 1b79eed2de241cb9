package history

import (
	"time"

	"go-micro.dev/v4/registry"
)

// Kind says what an event is about, and so which of its fields are set.
type Kind string

// What a service process says.
const (
	KindCall     Kind = "call"     // a Register, Deregister, Watch, Close, ...: Op, Took, Err, Service, TTL, Bound
	KindWatching Kind = "watching" // a watcher began: Watcher, Name, Services as looked up before
	KindSeen     Kind = "seen"     // what its Next returned: Watcher, Action, Service
	KindStopped  Kind = "stopped"  // its Next returned an error: Watcher, Err
	KindView     Kind = "view"     // a lookup said something new, or took long: Name, Via, Services, Err, Took, Bound
	KindDone     Kind = "done"     // a command was carried out: ID, Err, Text, Took
	KindLeft     Kind = "left"     // goroutines after Close: Text
)

// What the scenario says.
const (
	KindBegan  Kind = "began"  // a process was started
	KindKilled Kind = "killed" // a process was killed
	KindClosed Kind = "closed" // a process was asked to close
	KindPause  Kind = "pause"  // a process was stopped by SIGSTOP for Took
	KindTruth  Kind = "truth"  // etcd's records changed: Records, or Err if etcd can't be asked
	KindFault  Kind = "fault"  // a fault: Text, and as Op what it is one of
	KindExcuse Kind = "excuse" // for Took, records may be missing, or those of the dead be there: Text
	KindQuiet  Kind = "quiet"  // nothing happens any more: now all must have converged
	KindRemain Kind = "remain" // what was left in etcd after everybody closed: Text
)

// Event is one line of a history.
type Event struct {
	At      time.Time     `json:"at"`             // when it began
	Took    time.Duration `json:"took,omitempty"` // and how long it took
	Process string        `json:"process,omitempty"`
	Kind    Kind          `json:"kind"`

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

// End returns when it ended.
func (e *Event) End() time.Time { return e.At.Add(e.Took) }

// What a fault is one of: the Op of its event.
const (
	FaultUser    = ""        // somebody who uses etcd as well
	FaultProcess = "process" // etcd's processes: it may renew leases
	FaultData    = "data"    // etcd's data: it may bring back what was gone, too
	FaultPath    = "path"    // the network between a service and etcd
	FaultService = "service" // a service's process
)
