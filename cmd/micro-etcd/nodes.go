package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

func newNodes(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "nodes SERVICE",
		Aliases: []string{"get"},
		Short:   "List the nodes of a service",
		Long: `List the nodes of a service: where they are, and how long their leases last unless they are renewed; with
-o wide also which lease owns them. Nodes out of service come last; micro-etcd show says why they are.

` + app.WhyNoAge + ` It is in -o wide.`,
		Example: `  micro-etcd nodes greeter
  micro-etcd nodes greeter -l zone=a,canary -o wide
  micro-etcd nodes greeter -o json | jq -r '.[].address'`,
		Args:              app.OneService,
		ValidArgsFunction: a.CompleteService,
		RunE:              func(cmd *cobra.Command, args []string) error { return listNodes(cmd.Context(), a, args[0]) },
	}
	a.AddListFlags(cmd)
	return cmd
}

func listNodes(ctx context.Context, a *app.App, service string) error {
	var records []app.Record
	failed := a.ReadEverywhere(ctx, service, func(_ *fleet.Service, found []app.Record) {
		records = append(records, found...)
	})
	found := len(records)
	records = slices.DeleteFunc(records, func(r app.Record) bool { return !a.List.Labels.Match(r.Metadata) })
	if found == 0 {
		return failed
	}
	if len(records) == 0 {
		none := app.No("none of the %s of service %q has that metadata", output.Count(found, "node"), service)
		return app.Join(none, failed)
	}
	names := make([]string, len(records))
	rows := output.Rows{a.Row("NODE", "VERSION", "ADDRESS", "STATE", "TTL LEFT", "LEASE", "AGE")}
	for i := range records {
		r := &records[i]
		names[i] = r.Node
		rows.Row(a.RowOf(
			r.Datacenter,
			output.Cell(r.Node), output.Cell(r.Version), output.Cell(r.Address), r.State, r.TTL(), r.LeaseName(), r.Age(),
		)...)
	}
	const wide = 2 // LEASE and AGE
	return app.Join(a.PrintList(records, names, rows, wide), failed)
}
