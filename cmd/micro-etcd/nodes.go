package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
)

const whyNoAge = `etcd stores no times, so the age of a record can't be read from it. AGE shows what can: the revision
of etcd at which the record was made, and how often it was written. With --ask the nodes themselves
are asked, through go-micro's Debug.Stats, how long their processes have been running. Go Micro v4
services have that only if they register its handler; others show as answering, or as unreachable.`

func newNodes(a *app) *cobra.Command {
	var ask bool
	cmd := &cobra.Command{
		Use:   "nodes SERVICE",
		Short: "List the nodes of a service",
		Long: `List the nodes of a service: where they are, how long their leases last unless they are
renewed, and which lease owns them.

` + whyNoAge + ``,
		Example: `  micro-etcd nodes greeter
  micro-etcd nodes greeter --ask
  micro-etcd nodes greeter -o json | jq -r '.[].address'`,
		Args:              oneService,
		ValidArgsFunction: a.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.nodes(cmd.Context(), args[0], ask) },
	}
	a.flags.addOutput(cmd)
	cmd.Flags().BoolVar(&ask, "ask", false, "ask each node how long it has been running")
	return cmd
}

func (a *app) nodes(ctx context.Context, service string, ask bool) error {
	_, records, err := a.readService(ctx, service, ask)
	if err != nil {
		return err
	}
	return a.print(records, func(w io.Writer) error {
		t := table{{"NODE", "VERSION", "ADDRESS", "TTL LEFT", "LEASE", "AGE"}}
		for i := range records {
			r := &records[i]
			t.row(cell(r.Node), cell(r.Version), cell(r.Address), r.ttl(), r.leaseName(), r.age())
		}
		return t.write(w)
	})
}

// readService reads a service, and its nodes' records in the order in which it has them. Having none
// is an error.
func (a *app) readService(ctx context.Context, service string, ask bool) (*fleet.Service, []record, error) {
	c, err := a.connect(ctx, service, io.Discard)
	if err != nil {
		return nil, nil, err
	}
	defer c.close()
	p := a.progress("reading records")
	f, err := c.Read(ctx, p.tell)
	p.end()
	if err != nil {
		return nil, nil, explain(err)
	}
	services := a.seen(f)
	if len(services) == 0 {
		return nil, nil, no("no node of service %q below %s", service, c.Dir())
	}
	records, err := a.newRecords(ctx, c.Source, &services[0])
	if err != nil {
		return nil, nil, explain(err)
	}
	if ask {
		a.askProcesses(ctx, records)
	}
	return &services[0], records, nil
}
