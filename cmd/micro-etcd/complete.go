package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// completionTime bounds what a shell waits for.
const completionTime = time.Second

// completeService offers the services in etcd. A password is never asked for.
func (a *app) completeService(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	a.complete(cmd.Context(), "", func(r *record) { names = append(names, plain(r.Service)) })
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeNode offers services, and then the nodes of the one that was chosen.
func (a *app) completeNode(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return a.completeService(cmd, args, toComplete)
	}
	var ids []cobra.Completion
	a.complete(cmd.Context(), args[0], func(r *record) { ids = append(ids, plain(r.Node)) })
	return ids, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) complete(ctx context.Context, service string, offer func(*record)) {
	a.asks = false
	a.flags.timeout = min(a.flags.timeout, completionTime)
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	source, done, err := a.connect(ctx, service)
	if err != nil {
		return
	}
	defer done()
	f, err := source.Read(ctx, nil)
	if err != nil {
		return
	}
	for _, r := range f.Records {
		if r.Service != nil {
			v := newRecord(r)
			offer(&v)
		}
	}
}
