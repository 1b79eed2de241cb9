package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

func newNodes(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nodes SERVICE",
		Short: "List the nodes of a service",
		Long: `List the nodes of a service: where they are, how long their leases last unless they are
renewed, and which lease owns them. Nodes out of service come last; micro-etcd show says why they are.

` + whyNoAge + ``,
		Example: `  micro-etcd nodes greeter
  micro-etcd nodes greeter -o json | jq -r '.[].address'`,
		Args:              oneService,
		ValidArgsFunction: a.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.nodes(cmd.Context(), args[0]) },
	}
	a.format.AddFlag(cmd)
	return cmd
}

func (a *app) nodes(ctx context.Context, service string) error {
	_, records, err := a.readService(ctx, service)
	if err != nil {
		return err
	}
	return a.format.Print(a.Out, records, func(w io.Writer) error {
		t := output.Table{{"NODE", "VERSION", "ADDRESS", "STATE", "TTL LEFT", "LEASE", "AGE"}}
		for i := range records {
			r := &records[i]
			t.Row(
				output.Cell(r.Node), output.Cell(r.Version), output.Cell(r.Address), r.State, r.ttl(), r.leaseName(), r.age(),
			)
		}
		return t.Write(w)
	})
}
