package app

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// WhyNoAge says in the help of a command with a column AGE what is in it.
const WhyNoAge = `etcd stores no times, so the age of a record can't be read from it. AGE shows what can: the revision
of etcd at which the record was made, and how often it was written. Whether the nodes answer is what
micro-etcd check finds out.`

// ReadEverywhere does ReadService in each data center, and passes what there is to found. That one has no node is an
// error only if none has any.
func (a *App) ReadEverywhere(ctx context.Context, service string, found func(*fleet.Service, []Record)) error {
	some := false
	err := a.Each(func(a *App) error {
		s, records, err := a.ReadService(ctx, service)
		if err == nil {
			some = true
			found(s, records)
		}
		return err
	})
	if some && ExitOf(err).Code == ExitNo {
		return nil
	}
	return err
}

// ReadService reads a service, and its nodes' records: those in service in the order in which it has them, and then
// those out of service. Having none is an error.
func (a *App) ReadService(ctx context.Context, service string) (*fleet.Service, []Record, error) {
	c, err := a.Flags.Connect(ctx, a.Streams, service, io.Discard)
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
	s := &fleet.Service{Name: service}
	if services := a.VisibleServices(f); len(services) > 0 {
		s = &services[0]
	}
	nodes := fleet.Nodes(*s)
	if nodes = append(nodes, f.OutOfService()...); len(nodes) == 0 {
		return nil, nil, No("no node of service %q below %s%s", service, c.Dir(), a.similar(ctx, c.Source))
	}
	records, err := a.newRecords(ctx, c.Source, nodes)
	if err != nil {
		return nil, nil, connect.Explain(err)
	}
	return s, records, nil
}

// similar asks whether one of the services that there are was meant, if their names may be read.
func (a *App) similar(ctx context.Context, source fleet.Source) string {
	typed := source.Service
	source.Service = ""
	f, err := source.Read(ctx, nil)
	if err != nil {
		return ""
	}
	var names cobra.Command // cobra knows which names are similar
	for _, s := range f.Services() {
		if name := output.Escape(s.Name); !strings.Contains(name, " ") { // which for cobra end a name
			names.AddCommand(&cobra.Command{Use: name, Run: func(*cobra.Command, []string) {}})
		}
	}
	names.SuggestionsMinimumDistance = 2
	similar := names.SuggestionsFor(typed)
	if len(similar) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(similar, " or ") + "?"
}

// newRecords returns nodes with their leases.
func (a *App) newRecords(ctx context.Context, source fleet.Source, nodes []*fleet.Record) ([]Record, error) {
	var ids []clientv3.LeaseID
	for _, r := range nodes {
		ids = append(ids, r.Lease)
	}
	p := a.Progress("reading leases")
	leases, err := source.Leases(ctx, ids, p.Update)
	p.End()
	if err != nil {
		return nil, err
	}
	records := make([]Record, len(nodes))
	for i, r := range nodes {
		records[i] = NewRecord(r)
		records[i].Datacenter = a.Flags.Datacenter
		records[i].Fill(leases[r.Lease])
	}
	return records, nil
}

// VisibleServices returns the services as consumers see them. Records that they don't see are counted on standard
// error.
func (a *App) VisibleServices(f *fleet.Fleet) []fleet.Service {
	services := f.Services()
	nodes, malformed, out := len(fleet.Nodes(services...)), 0, 0
	for _, r := range f.Records {
		switch {
		case r.Service == nil:
			malformed++
		case r.IsNotice():
			out++
		}
	}
	a.warnLeftOut(malformed, "malformed record")
	a.warnLeftOut(len(f.Records)-malformed-out-nodes, "duplicate record")
	return services
}

func (a *App) warnLeftOut(n int, what string) {
	if n > 0 {
		fmt.Fprintf(a.Err, "%s left out: `micro-etcd doctor` says which and why\n", output.Count(n, what))
	}
}
