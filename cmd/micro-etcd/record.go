package main

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/process"
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

	Key      string          `json:"key"`
	Escaped  string          `json:"key_escaped,omitempty"` // by output.Escape; only of a key that is no UTF-8
	Bytes    int             `json:"bytes"`
	Created  int64           `json:"created_revision"`
	Modified int64           `json:"modified_revision"`
	Writes   int64           `json:"writes"`
	Lease    *lease          `json:"lease"` // null: it stays until somebody deletes it
	Process  *process.Status `json:"process,omitempty"`
}

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
	if r.Process != nil {
		return r.Process.String()
	}
	return fmt.Sprintf("rev %d, %s", r.Created, output.Count(int(r.Writes), "write"))
}
