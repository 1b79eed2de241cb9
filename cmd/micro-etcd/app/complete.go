package app

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

// CompleteService offers the services in etcd. A password is never asked for.
func (a *App) CompleteService(
	cmd *cobra.Command, args []string, _ string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := a.complete(cmd.Context(), "", func(r *Record) string { return r.Service })
	return names, cobra.ShellCompDirectiveNoFileComp
}

// CompleteNode offers services, and then the nodes of the one that was chosen.
func (a *App) CompleteNode(
	cmd *cobra.Command, args []string, toComplete string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return a.CompleteService(cmd, args, toComplete)
	}
	ids := a.complete(cmd.Context(), args[0], func(r *Record) string { return r.Node })
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// CompleteNodeIn is CompleteNode for the nodes in a state, and the services that have such.
func (a *App) CompleteNodeIn(state string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var names []cobra.Completion
		switch len(args) {
		case 0:
			names = a.complete(cmd.Context(), "", func(r *Record) string { return inState(r, state, r.Service) })
		case 1:
			names = a.complete(cmd.Context(), args[0], func(r *Record) string { return inState(r, state, r.Node) })
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func inState(r *Record, state, name string) string {
	if r.State != state {
		return ""
	}
	return name
}

// complete returns each name once, but for the empty one.
func (a *App) complete(ctx context.Context, service string, name func(*Record) string) []cobra.Completion {
	a.CanPrompt = false
	a.Flags.Timeout = min(a.Flags.Timeout, completionTime)
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	c, err := a.Flags.Connect(ctx, a.Streams, service, io.Discard)
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
			v := NewRecord(r)
			if n := name(&v); n != "" {
				names = append(names, output.Escape(n))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
