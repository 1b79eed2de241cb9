package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/process"
)

const whyNoAge = `etcd stores no times, so the age of a record can't be read from it. AGE shows what can: the revision
of etcd at which the record was made, and how often it was written. With --ask the nodes themselves
are asked, through go-micro's Debug.Stats, how long their processes have been running. Go Micro v4
services have that only if they register its handler; others show as answering, or as unreachable.`

func addAsk(cmd *cobra.Command, ask *bool) {
	cmd.Flags().BoolVar(ask, "ask", false, "ask each node how long it has been running")
}

// readService reads a service, and its nodes' records in the order in which it has them. Having none is an error.
func (a *app) readService(ctx context.Context, service string, ask bool) (*fleet.Service, []record, error) {
	c, err := a.flags.Connect(ctx, a.Streams, service, io.Discard)
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	p := a.Progress("reading records")
	f, err := c.Read(ctx, p.Update)
	p.End()
	if err != nil {
		return nil, nil, connect.Explain(err)
	}
	services := a.visibleServices(f)
	if len(services) == 0 {
		return nil, nil, no("no node of service %q below %s", service, c.Dir())
	}
	records, err := a.newRecords(ctx, c.Source, &services[0], ask)
	if err != nil {
		return nil, nil, connect.Explain(err)
	}
	return &services[0], records, nil
}

// newRecords returns a service's nodes with their leases, and with what their processes say if they are asked.
func (a *app) newRecords(ctx context.Context, source fleet.Source, s *fleet.Service, ask bool) ([]record, error) {
	var nodes []*fleet.Record
	var ids []clientv3.LeaseID
	for _, v := range s.Versions {
		for _, r := range v.Nodes {
			nodes, ids = append(nodes, r), append(ids, r.Lease)
		}
	}
	p := a.Progress("reading leases")
	leases, err := source.Leases(ctx, ids, p.Update)
	p.End()
	if err != nil {
		return nil, err
	}
	records := make([]record, len(nodes))
	for i, r := range nodes {
		records[i] = newRecord(r)
		records[i].fill(leases[r.Lease])
	}
	if ask {
		p := a.Progress("asking the nodes")
		defer p.End()
		for i, status := range process.Ask(ctx, nodes, p.Update) {
			records[i].Process = status
		}
	}
	return records, nil
}

// visibleServices returns the services as consumers see them. Records that they don't see are counted on standard
// error.
func (a *app) visibleServices(f *fleet.Fleet) []fleet.Service {
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
		fmt.Fprintf(a.Err, "%s left out: `micro-etcd doctor` says which and why\n", output.Count(n, what))
	}
}
