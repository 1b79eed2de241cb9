package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

func newNodes(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nodes SERVICE",
		Short: "List the nodes of a service",
		Long: `List the nodes of a service: where they are, how long their leases last unless they are
renewed, and which lease owns them. Nodes out of service come last; micro-etcd show says why they are.

` + app.WhyNoAge + ``,
		Example: `  micro-etcd nodes greeter
  micro-etcd nodes greeter -o json | jq -r '.[].address'`,
		Args:              app.OneService,
		ValidArgsFunction: a.CompleteService,
		RunE:              func(cmd *cobra.Command, args []string) error { return listNodes(cmd.Context(), a, args[0]) },
	}
	a.Format.AddFlag(cmd)
	return cmd
}

func listNodes(ctx context.Context, a *app.App, service string) error {
	var records []app.Record
	failed := a.ReadEverywhere(ctx, service, func(_ *fleet.Service, found []app.Record) {
		records = append(records, found...)
	})
	if len(records) == 0 {
		return failed
	}
	return app.Join(a.Format.Print(a.Out, records, func(w io.Writer) error {
		t := output.Table{a.Row("NODE", "VERSION", "ADDRESS", "STATE", "TTL LEFT", "LEASE", "AGE")}
		for i := range records {
			r := &records[i]
			t.Row(a.RowOf(
				r.Datacenter,
				output.Cell(r.Node), output.Cell(r.Version), output.Cell(r.Address), r.State, r.TTL(), r.LeaseName(), r.Age(),
			)...)
		}
		return t.Write(w)
	}), failed)
}
