package main

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
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
	Escaped  string `json:"key_escaped,omitempty"` // as plain shows it, if JSON can't have it because it is no UTF-8
	Bytes    int    `json:"bytes"`
	Created  int64  `json:"created_revision"`
	Modified int64  `json:"modified_revision"`
	Writes   int64  `json:"writes"`
	Lease    *lease `json:"lease"` // null: it stays until somebody deletes it
	Process  *asked `json:"process,omitempty"`
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
		v.Escaped = plain(r.Key)
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

// newRecords returns a service's nodes with their leases.
func (a *app) newRecords(ctx context.Context, source fleet.Source, s *fleet.Service) ([]record, error) {
	var nodes []*fleet.Record
	var ids []clientv3.LeaseID
	for _, v := range s.Versions {
		for _, r := range v.Nodes {
			nodes, ids = append(nodes, r), append(ids, r.Lease)
		}
	}
	p := a.progress("reading leases")
	leases, err := source.Leases(ctx, ids, p.tell)
	p.end()
	if err != nil {
		return nil, err
	}
	records := make([]record, len(nodes))
	for i, r := range nodes {
		records[i] = newRecord(r)
		records[i].fill(leases[r.Lease])
	}
	return records, nil
}

func (r *record) fill(l fleet.Lease) {
	if r.Lease == nil || l.ID == 0 {
		return
	}
	left, granted := int64(l.Left/time.Second), int64(l.Granted/time.Second)
	r.Lease.Left, r.Lease.Granted = &left, &granted
}

// seen returns the services as consumers see them. Records that they don't see are counted on standard error.
func (a *app) seen(f *fleet.Fleet) []fleet.Service {
	services := f.Services()
	nodes, malformed := 0, 0
	for _, s := range services {
		for _, v := range s.Versions {
			nodes += len(v.Nodes)
		}
	}
	for _, r := range f.Records {
		if r.Service == nil {
			malformed++
		}
	}
	a.warnLeftOut(malformed, "malformed record")
	a.warnLeftOut(len(f.Records)-malformed-nodes, "duplicate record")
	return services
}

func (a *app) warnLeftOut(n int, what string) {
	if n > 0 {
		fmt.Fprintf(a.err, "%s left out: `micro-etcd doctor` says which and why\n", count(n, what))
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
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
	return fmt.Sprintf("rev %d, %s", r.Created, count(int(r.Writes), "write"))
}

// explain adds what to do about an error of etcd's, where that isn't obvious.
func explain(err error) error {
	if errors.Is(err, rpctypes.ErrPermissionDenied) {
		return fmt.Errorf("%w: the user may not read that; `micro-etcd doctor` says what it may", err)
	}
	return err
}
