package change

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// NewUndrain returns the subcommand undrain, which puts nodes back in service.
func NewUndrain(a *app.App) *cobra.Command {
	var flags selectionFlags
	var nodes *selection
	var yes bool
	cmd := &cobra.Command{
		Use:   "undrain SERVICE {NODE | [--version V] [--label KEY=VALUE,...] | --all}",
		Short: "Put nodes back in service",
		Long: `Put nodes back in service that were drained: the record takes the place of its notice.

A node that its own health checks took out of service is put back only if it is given by its id. Its
process takes it out again if it still fails them.

Shows the nodes and asks for confirmation (skip with --yes). A node that changed in the meantime is
left alone.`,
		Example: `  micro-etcd undrain greeter greeter-6fa1
  micro-etcd undrain greeter --all --yes`,
		Args: func(cmd *cobra.Command, args []string) (err error) {
			nodes, err = flags.parse(cmd, args)
			return err
		},
		ValidArgsFunction: a.CompleteNodeIn(app.StateOut),
		RunE:              func(cmd *cobra.Command, _ []string) error { return undrain(cmd.Context(), a, nodes, yes) },
	}
	flags.add(cmd)
	addYes(cmd, &yes)
	return cmd
}

func undrain(ctx context.Context, a *app.App, nodes *selection, yes bool) error {
	c, err := a.Flags.Connect(ctx, a.Streams, nodes.service, io.Discard)
	if err != nil {
		return err
	}
	defer c.Close()
	source := c.Source
	found, err := choose(ctx, &source, nodes)
	if err != nil {
		return explainChange(err, source)
	}
	var out []*target
	for _, t := range found {
		switch {
		case t.notice == nil && nodes.node != "":
			if err := t.requireReadable(); err != nil {
				return err
			}
			fmt.Fprintf(a.Err, "Node %s of service %s is in service.\n", t.name(), output.Cell(source.Service))
		case t.notice == nil:
		case nodes.node == "" && t.record == nil && !t.isDrained():
			fmt.Fprintf(a.Err, "Node %s stays out of service: its own health checks took it out.\n", t.name())
		default:
			out = append(out, t)
		}
	}
	if len(out) == 0 {
		fmt.Fprintln(a.Err, "Nothing to undrain.")
		return nil
	}
	for _, t := range out {
		fate := "Its record is put back."
		if t.record != nil {
			fate = "Its record is there, so it is in service; the notice is removed."
		}
		describe(ctx, a, source, t.notice, fate)
	}
	question := fmt.Sprintf("Put %s of service %s back in service?",
		output.Count(len(out), "node"), output.Cell(source.Service))
	if err := confirm(ctx, a, question, "nothing undrained", yes); err != nil {
		return err
	}
	return oneByOne(ctx, source, out, func(ctx context.Context, t *target) error {
		revision, err := putBackLatest(ctx, a, source, t)
		if err == nil {
			fmt.Fprintf(a.Err, "Node %s of service %s is in service at revision %d.\n",
				t.name(), output.Cell(source.Service), revision)
		}
		return err
	})
}

// putBackLatest is putBack, also if the node's process has written its notice anew meanwhile, as it does to acknowledge
// a drain.
func putBackLatest(ctx context.Context, a *app.App, source fleet.Source, t *target) (int64, error) {
	for {
		revision, err := putBack(ctx, a, source, t)
		if !errors.Is(err, errStale) {
			return revision, err
		}
		now, lookErr := t.look(ctx, source)
		if lookErr != nil || !now.isSameExit(t) {
			return 0, err
		}
		t = now
	}
}

// isSameExit reports whether a node is out of service for the same reason as it was before, and was written since.
func (t *target) isSameExit(before *target) bool {
	if t.record != nil || before.record != nil || t.notice == nil || !t.notice.IsNotice() || !before.notice.IsNotice() {
		return false
	}
	n, was := t.notice.Notice, before.notice.Notice
	return t.notice.Modified != before.notice.Modified &&
		n.By == was.By && n.Reason == was.Reason && n.Since.Equal(was.Since)
}

// putBack puts the record in the place of its notice, or removes the notice beside a record. It returns etcd's
// revision.
func putBack(ctx context.Context, a *app.App, source fleet.Source, t *target) (int64, error) {
	ops := []clientv3.Op{clientv3.OpDelete(t.noticeKey)}
	if t.record == nil {
		ops = append(ops, clientv3.OpPut(t.key, string(t.notice.Notice.Record), clientv3.WithLease(t.notice.Lease)))
	}
	return change(ctx, a, source, t, nil, ops...)
}
