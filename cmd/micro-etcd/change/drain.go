package change

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/internal/brake"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// drain is what drain was asked for.
type drain struct {
	*app.App
	source     fleet.Source
	reason     *string       // nil: not given
	period     time.Duration // 0: no end
	force, yes bool
	operator   string
}

// NewDrain returns the subcommand drain, which takes nodes out of service.
func NewDrain(a *app.App) *cobra.Command {
	d := &drain{App: a}
	var flags selectionFlags
	var nodes *selection
	var reason string
	cmd := &cobra.Command{
		Use:   "drain SERVICE {NODE | [--version V] [--label KEY=VALUE,...] | --all}",
		Short: "Take nodes out of service while their processes run",
		Long: `Take nodes out of service while their processes run, for a deployment or to look into a problem.

Consumers stop selecting the node within a second. Connections that go-micro clients already have
open stay in use for up to a minute; client.PoolTTL shortens that. The process keeps running and
stays registered: a notice takes the place of its record, with who drained it, when and why. The
drain ends when the process does, after --for, or with micro-etcd undrain.

A process that uses this registry acknowledges the drain within two seconds. One that uses the
official plugin doesn't know of drains: it stays out until its lease is lost or its node changes, and
--for is refused, because nobody would put its record back.

At most half of a service's nodes may be out of service; --force overrides that. Several nodes are
drained one by one, and the command stops at that limit.

Shows the nodes and asks for confirmation (skip with --yes). A node that changed in the meantime is
left alone.`,
		Example: `  micro-etcd drain greeter greeter-6fa1 --for 10m --reason "heap dump"
  micro-etcd drain greeter --version 1.4.2 --yes
  micro-etcd drain greeter -l zone=a,rack=7`,
		Args: func(cmd *cobra.Command, args []string) (err error) {
			if cmd.Flags().Changed("for") && d.period <= 0 {
				return fmt.Errorf("--for %s is not positive", d.period)
			}
			if cmd.Flags().Changed("reason") {
				reason = strings.ToValidUTF8(reason, "�")
				d.reason = &reason
			}
			nodes, err = flags.parse(cmd, args)
			return err
		},
		ValidArgsFunction: a.CompleteNodeIn(app.StateIn),
		RunE:              func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context(), nodes) },
	}
	flags.add(cmd)
	cmd.Flags().DurationVar(&d.period, "for", 0, "end the drain after this time; needs a process that uses this registry")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who find the node out of service")
	cmd.Flags().BoolVar(&d.force, "force", false, "also if more than half of the service's nodes are out of service then")
	addYes(cmd, &d.yes)
	return cmd
}

func (d *drain) run(ctx context.Context, nodes *selection) error {
	c, err := d.Flags.Connect(ctx, d.Streams, nodes.service, io.Discard)
	if err != nil {
		return err
	}
	defer c.Close()
	d.source, d.operator = c.Source, operator()
	found, err := choose(ctx, &d.source, nodes)
	if err != nil {
		return explainChange(err, d.source)
	}
	found = d.withoutDrained(found, nodes.node != "" && (d.reason != nil || d.period > 0))
	if err := d.requireLeases(found); err != nil || len(found) == 0 {
		return err
	}
	for _, t := range found {
		fate := "It goes out of service."
		if t.record == nil {
			fate = "Its notice is replaced."
		}
		describe(ctx, d.App, d.source, t.shown(), fate)
	}
	d.warnOfBrake(ctx, found)
	question := fmt.Sprintf("Take %s of service %s out of service?",
		output.Count(len(found), "node"), output.Cell(d.source.Service))
	if err := confirm(ctx, d.App, question, "nothing drained", d.yes); err != nil {
		return err
	}
	return oneByOne(ctx, d.source, found, d.one)
}

// operator is who runs this.
func operator() string {
	name, host := strconv.Itoa(os.Getuid()), "unknown host"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return strings.ToValidUTF8(name+"@"+host, "�")
}

// withoutDrained leaves out the nodes that somebody has drained before, unless their notices are to be replaced.
func (d *drain) withoutDrained(found []*target, replace bool) []*target {
	var rest []*target
	for _, t := range found {
		if t.isDrained() && !replace {
			fmt.Fprintf(d.Err, "Node %s is drained already, %s.\n", t.name(), app.NewRecord(t.notice).Out)
		} else {
			rest = append(rest, t)
		}
	}
	return rest
}

// requireLeases refuses an end for nodes that nobody would put back.
func (d *drain) requireLeases(found []*target) error {
	var without []string
	for _, t := range found {
		if t.shown().Lease == 0 {
			without = append(without, t.name())
		}
	}
	if d.period == 0 || len(without) == 0 {
		return nil
	}
	return app.No("nothing drained: --for can't be kept for %s: no lease, so no process that would put it back",
		listed(without))
}

// warnOfBrake says before the question how far the brake will let it go.
func (d *drain) warnOfBrake(ctx context.Context, found []*target) {
	if d.force {
		return
	}
	nodes, err := d.count(ctx)
	if err != nil {
		return // so is the transaction, which says it
	}
	will := 0
	for _, t := range found {
		if t.record == nil {
			continue
		}
		if !nodes.MayLeave() {
			fmt.Fprintf(d.Err, "Warning: at most half of a service may be out of service, so this stops after %d of %s; --force overrides that.\n",
				will, output.Count(len(found), "node"))
			return
		}
		nodes, will = nodes.AfterExit(), will+1
	}
}

// one takes one node out of service.
func (d *drain) one(ctx context.Context, t *target) error {
	if err := t.requireReadable(); err != nil {
		return err
	}
	notice, err := d.noticeOf(ctx, t)
	if err != nil {
		return err
	}
	value, err := catalog.EncodeNotice(*notice)
	if err != nil {
		return err
	}
	revision, err := d.leave(ctx, t, string(value))
	if err != nil {
		return err
	}
	fmt.Fprintf(d.Err, "Node %s of service %s is out of service at revision %d.\n",
		t.name(), output.Cell(d.source.Service), revision)
	if t.shown().Lease == 0 {
		fmt.Fprintf(d.Err, "Its record has no lease, so it stays out until somebody runs micro-etcd undrain.\n")
		return nil
	}
	return d.awaitOwner(ctx, t, revision)
}

// noticeOf returns the notice to write. What wasn't given stays as it was drained before.
func (d *drain) noticeOf(ctx context.Context, t *target) (*catalog.Notice, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	n := catalog.Notice{By: d.operator, Since: now}
	if t.isDrained() {
		n = *t.notice.Notice
		n.By, n.Acknowledged = d.operator, time.Time{}
	}
	if d.reason != nil {
		n.Reason = *d.reason
	}
	if d.period > 0 {
		n.Since, n.Until = now, now.Add(d.period) // its process goes by the time between them
	}
	if t.record == nil {
		n.Record = t.notice.Notice.Record
		return &n, nil
	}
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), d.Flags.Timeout)
	defer cancel()
	answer, err := d.source.Client.Get(ctx, t.key)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %q: %w", t.key, err)
	case len(answer.Kvs) == 0 || answer.Kvs[0].ModRevision != t.record.Modified:
		return nil, errChanged(t.key)
	}
	n.Record = answer.Kvs[0].Value
	return &n, nil
}

// leave puts the notice in the place of the record, or of the notice before. It returns etcd's revision.
func (d *drain) leave(ctx context.Context, t *target, notice string) (int64, error) {
	ops := []clientv3.Op{clientv3.OpPut(t.noticeKey, notice, clientv3.WithLease(t.shown().Lease))}
	if t.record == nil {
		return change(ctx, d.App, d.source, t, nil, ops...)
	}
	ops = append(ops, clientv3.OpDelete(t.key))
	if d.force {
		return change(ctx, d.App, d.source, t, nil, ops...)
	}
	for try := 1; ; try++ {
		nodes, err := d.count(ctx)
		if err != nil {
			return 0, err
		}
		if !nodes.MayLeave() {
			return 0, app.Error{Code: app.ExitNo, Err: brakeError{d.source.Service, nodes}}
		}
		guard := nodes.Guard()
		revision, err := change(ctx, d.App, d.source, t, &guard, ops...)
		if !errors.Is(err, errRecount) {
			return revision, err
		}
		retry.Sleep(ctx, retry.Backoff(try, nil)) // others leave at this moment
	}
}

// count counts the service's nodes.
func (d *drain) count(ctx context.Context) (brake.Nodes, error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), d.Flags.Timeout)
	defer cancel()
	all, err := d.source.Client.Get(ctx, d.source.Dir(), clientv3.WithPrefix())
	if err != nil {
		return brake.Nodes{}, fmt.Errorf("count %q: %w", d.source.Dir(), err)
	}
	return brake.Count(d.source.Keyspace(), d.source.Service, all.Kvs, all.Header.Revision), nil
}
