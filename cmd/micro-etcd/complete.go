package main

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// completionTime bounds what a shell waits for.
const completionTime = time.Second

// completeService offers the services in etcd. A password is never asked for.
func (a *app) completeService(
	cmd *cobra.Command, args []string, _ string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := a.complete(cmd.Context(), "", func(r *record) string { return r.Service })
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeNode offers services, and then the nodes of the one that was chosen.
func (a *app) completeNode(
	cmd *cobra.Command, args []string, toComplete string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return a.completeService(cmd, args, toComplete)
	}
	ids := a.complete(cmd.Context(), args[0], func(r *record) string { return r.Node })
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// complete returns each name once.
func (a *app) complete(ctx context.Context, service string, name func(*record) string) []cobra.Completion {
	a.CanPrompt = false
	a.flags.Timeout = min(a.flags.Timeout, completionTime)
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	c, err := a.flags.Connect(ctx, a.Streams, service, io.Discard)
	if err != nil {
		return nil
	}
	defer c.Close()
	f, err := c.Read(ctx, nil)
	if err != nil {
		return nil
	}
	var names []cobra.Completion
	for _, r := range f.Records {
		if r.Service != nil {
			v := newRecord(r)
			names = append(names, output.Escape(name(&v)))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
