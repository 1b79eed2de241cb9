package main

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// record is a stored record as programs get it.
type record struct {
	Service   string              `json:"service,omitempty"`
	Version   string              `json:"version,omitempty"`
	Node      string              `json:"node,omitempty"`
	Address   string              `json:"address,omitempty"`
	Metadata  map[string]string   `json:"metadata,omitempty"`
	About     map[string]string   `json:"service_metadata,omitempty"`
	Endpoints []*catalog.Endpoint `json:"endpoints,omitempty"`
	Malformed string              `json:"malformed,omitempty"` // why it is no record

	Key      string `json:"key"`
	Escaped  string `json:"key_escaped,omitempty"` // by output.Escape; only of a key that is no UTF-8
	Bytes    int    `json:"bytes"`
	Created  int64  `json:"created_revision"`
	Modified int64  `json:"modified_revision"`
	Writes   int64  `json:"writes"`
	Lease    *lease `json:"lease"` // null: it stays until somebody deletes it

	State string        `json:"state,omitempty"` // of the node: stateIn or stateOut; "" for what is malformed
	Out   *outOfService `json:"out_of_service,omitempty"`
}

// States of a node.
const (
	stateIn  = "in service"
	stateOut = "out of service"
)

// outOfService is why a node is out of service, as programs get it. The key, the lease and the revisions beside it are
// the notice's.
type outOfService struct {
	Reason       string    `json:"reason"`
	By           string    `json:"by"` // "" for the node's own health checks
	Since        time.Time `json:"since"`
	Until        time.Time `json:"until,omitzero"`        // when its process puts it back
	Acknowledged time.Time `json:"acknowledged,omitzero"` // when its process took note of it
}

// String says it after "out of service".
func (o *outOfService) String() string {
	text := "since " + moment(o.Since)
	if o.By == "" {
		text += ", by its own health checks"
	} else {
		text += ", by " + output.Cell(o.By)
		if o.Acknowledged.IsZero() {
			text += ", not acknowledged by its process"
		}
	}
	if !o.Until.IsZero() {
		text += ", until " + moment(o.Until)
	}
	if o.Reason != "" {
		text += ": " + output.Line(o.Reason)
	}
	return text
}

// moment is a time for people, who may look at another day.
func moment(t time.Time) string { return t.Local().Format(time.DateTime) }

// lease is one as programs get it.
type lease struct {
	ID      string `json:"id"` // as etcdctl prints it
	Left    *int64 `json:"left_seconds,omitempty"`
	Granted *int64 `json:"granted_seconds,omitempty"`
}

func newRecord(r *fleet.Record) record {
	v := record{Key: r.Key, Bytes: r.Size, Created: r.Created, Modified: r.Modified, Writes: r.Writes}
	if !utf8.ValidString(r.Key) {
		v.Escaped = output.Escape(r.Key)
	}
	if r.Lease != 0 {
		v.Lease = &lease{ID: fleet.LeaseName(r.Lease)}
	}
	if r.Service == nil {
		v.Malformed = r.Err.Error()
		return v
	}
	v.State = stateIn
	if o := r.Notice; o != nil {
		v.State = stateOut
		v.Out = &outOfService{o.Reason, o.By, o.Since, o.Until, o.Acknowledged}
	}
	n := r.Node()
	v.Service, v.Version, v.Node, v.Address, v.Metadata = r.Service.Name, r.Service.Version, n.Id, n.Address, n.Metadata
	v.About, v.Endpoints = r.Service.Metadata, r.Service.Endpoints
	return v
}

func (r *record) fill(l fleet.Lease) {
	if r.Lease == nil || l.ID == 0 {
		return
	}
	left, granted := int64(l.Left/time.Second), int64(l.Granted/time.Second)
	r.Lease.Left, r.Lease.Granted = &left, &granted
}

// ttl is what a table says of a lease's time.
func (r *record) ttl() string {
	switch {
	case r.Lease == nil:
		return "no lease"
	case r.Lease.Left == nil:
		return "gone"
	}
	return fmt.Sprintf("%ds of %ds", *r.Lease.Left, *r.Lease.Granted)
}

func (r *record) leaseName() string {
	if r.Lease == nil {
		return "-"
	}
	return r.Lease.ID
}

// age is what can be known of a record's age: etcd stores no times.
func (r *record) age() string {
	return fmt.Sprintf("rev %d, %s", r.Created, output.Count(int(r.Writes), "write"))
}
