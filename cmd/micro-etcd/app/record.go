package app

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// Record is a stored record as programs get it.
type Record struct {
	Datacenter string              `json:"datacenter,omitempty"`
	Service    string              `json:"service,omitempty"`
	Version    string              `json:"version,omitempty"`
	Node       string              `json:"node,omitempty"`
	Address    string              `json:"address,omitempty"`
	Metadata   map[string]string   `json:"metadata,omitempty"`
	About      map[string]string   `json:"service_metadata,omitempty"`
	Endpoints  []*catalog.Endpoint `json:"endpoints,omitempty"`
	Malformed  string              `json:"malformed,omitempty"` // why it is no record

	Key      string `json:"key"`
	Escaped  string `json:"key_escaped,omitempty"` // by output.Escape; only of a key that is no UTF-8
	Bytes    int    `json:"bytes"`
	Created  int64  `json:"created_revision"`
	Modified int64  `json:"modified_revision"`
	Writes   int64  `json:"writes"`
	Lease    *Lease `json:"lease"` // null: it stays until somebody deletes it

	State string        `json:"state,omitempty"` // of the node: StateIn or StateOut; "" for what is malformed
	Out   *OutOfService `json:"out_of_service,omitempty"`
}

// States of a node.
const (
	StateIn  = "in service"
	StateOut = "out of service"
)

// OutOfService is why a node is out of service, as programs get it. The key, the lease and the revisions beside it are
// the notice's.
type OutOfService struct {
	Reason       string    `json:"reason"`
	By           string    `json:"by"` // "" for the node's own health checks
	Since        time.Time `json:"since"`
	Until        time.Time `json:"until,omitzero"`        // when its process puts it back
	Acknowledged time.Time `json:"acknowledged,omitzero"` // when its process took note of it
}

// String says it after "out of service".
func (o *OutOfService) String() string {
	text := "since " + Moment(o.Since)
	if o.By == "" {
		text += ", by its own health checks"
	} else {
		text += ", by " + output.Cell(o.By)
		if o.Acknowledged.IsZero() {
			text += ", not acknowledged by its process"
		}
	}
	if !o.Until.IsZero() {
		text += ", until " + Moment(o.Until)
	}
	if o.Reason != "" {
		text += ": " + output.Line(o.Reason)
	}
	return text
}

// Moment is a time for people, who may look at another day.
func Moment(t time.Time) string { return t.Local().Format(time.DateTime) }

// Lease is one as programs get it.
type Lease struct {
	ID      string `json:"id"` // as etcdctl prints it
	Left    *int64 `json:"left_seconds,omitempty"`
	Granted *int64 `json:"granted_seconds,omitempty"`
}

// NewRecord returns a record without its lease's times; Fill adds those.
func NewRecord(r *fleet.Record) Record {
	v := Record{Key: r.Key, Bytes: r.Size, Created: r.Created, Modified: r.Modified, Writes: r.Writes}
	if !utf8.ValidString(r.Key) {
		v.Escaped = output.Escape(r.Key)
	}
	if r.Lease != 0 {
		v.Lease = &Lease{ID: fleet.LeaseName(r.Lease)}
	}
	if r.Service == nil {
		v.Malformed = r.Err.Error()
		return v
	}
	v.State = StateIn
	if o := r.Notice; o != nil {
		v.State = StateOut
		v.Out = &OutOfService{o.Reason, o.By, o.Since, o.Until, o.Acknowledged}
	}
	n := r.Node()
	v.Service, v.Version, v.Node, v.Address, v.Metadata = r.Service.Name, r.Service.Version, n.Id, n.Address, n.Metadata
	v.About, v.Endpoints = r.Service.Metadata, r.Service.Endpoints
	return v
}

// Fill adds the times of the record's lease, if it exists.
func (r *Record) Fill(l fleet.Lease) {
	if r.Lease == nil || l.ID == 0 {
		return
	}
	left, granted := int64(l.Left/time.Second), int64(l.Granted/time.Second)
	r.Lease.Left, r.Lease.Granted = &left, &granted
}

// TTL is what a table says of a lease's time.
func (r *Record) TTL() string {
	switch {
	case r.Lease == nil:
		return "no lease"
	case r.Lease.Left == nil:
		return "gone"
	}
	return fmt.Sprintf("%ds of %ds", *r.Lease.Left, *r.Lease.Granted)
}

// LeaseName is the id of the record's lease, or a dash.
func (r *Record) LeaseName() string {
	if r.Lease == nil {
		return "-"
	}
	return r.Lease.ID
}

// Age is what can be known of a record's age: etcd stores no times.
func (r *Record) Age() string {
	return fmt.Sprintf("rev %d, %s", r.Created, output.Count(int(r.Writes), "write"))
}
