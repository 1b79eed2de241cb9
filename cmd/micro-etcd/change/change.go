// Package change is the subcommands that change what is in etcd. They show what they will do, ask, and leave alone what
// has changed since it was shown.
package change

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/internal/brake"
	"github.com/micro-etcd/micro-etcd/internal/etcderr"
)

func addYes(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "don't ask, for scripts")
}

var errNobody = errors.New("nobody to ask: standard input is no terminal; --yes does it without asking")

// confirm asks whether to do what was said, unless --yes was given. When it is declined, which it is when ctx ends, the
// error says what was done: nothing.
func confirm(ctx context.Context, a *app.App, question, nothing string, yes bool) error {
	if yes {
		return nil
	}
	if !a.CanPrompt {
		return errNobody
	}
	fmt.Fprintf(a.Err, "%s [y/N] ", question)
	answer, err := a.ReadLine(ctx)
	if err != nil {
		fmt.Fprintln(a.Err)
		return app.No("%s", nothing)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return app.No("%s", nothing)
}

// describe says what a record is, how long it would last, and what becomes of it.
func describe(ctx context.Context, a *app.App, source fleet.Source, r *fleet.Record, fate string) {
	v := app.NewRecord(r)
	if leases, err := source.Leases(ctx, []clientv3.LeaseID{r.Lease}, nil); err == nil { // else without times
		v.Fill(leases[r.Lease])
	}
	fmt.Fprintf(a.Err, "%s: ", output.Line(v.Key))
	if v.Malformed != "" {
		fmt.Fprintf(a.Err, "%s, of %s", output.Line(v.Malformed), output.Count(v.Bytes, "byte"))
	} else {
		fmt.Fprintf(a.Err, "node %s of service %s, version %s, at %s",
			output.Cell(v.Node), output.Cell(v.Service), output.Cell(v.Version), output.Cell(v.Address))
	}
	if v.Out != nil {
		fmt.Fprintf(a.Err, ", out of service %s", v.Out)
	}
	if v.Lease == nil {
		fmt.Fprintf(a.Err, "; without a lease, so it stays until somebody removes it. %s\n", fate)
	} else {
		fmt.Fprintf(a.Err, "; lease %s, %s left. %s\n", v.Lease.ID, v.TTL(), fate)
	}
}

var errStale = errors.New("has changed since it was shown")

func errChanged(key string) error {
	return app.No("not done: what is at %s %w", output.Line(key), errStale)
}

// revisionOf is when what was shown was written; nil is a key that wasn't there.
func revisionOf(shown *fleet.Record) int64 {
	if shown == nil {
		return 0
	}
	return shown.Modified
}

// requireUnchanged returns an error unless a key is still as it was shown. It may change right after.
func requireUnchanged(ctx context.Context, source fleet.Source, key string, shown *fleet.Record) error {
	now, err := source.Key(ctx, key)
	if err != nil {
		return connect.Explain(err)
	}
	if revisionOf(now) != revisionOf(shown) {
		return errChanged(key)
	}
	return nil
}

// ifUnchanged does an operation if a key is still as it was shown.
func ifUnchanged(
	ctx context.Context, a *app.App, source fleet.Source, key string, shown *fleet.Record, op clientv3.Op,
) (*clientv3.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Flags.Timeout)
	defer cancel()
	still := clientv3.Compare(clientv3.ModRevision(key), "=", revisionOf(shown))
	answer, err := source.Client.Txn(clientv3.WithRequireLeader(ctx)).If(still).Then(op).Commit()
	if err != nil {
		return nil, err
	}
	if !answer.Succeeded {
		return nil, errChanged(key)
	}
	return answer, nil
}

// errRecount says that the count is out of date: another node has gone out of service.
var errRecount = errors.New("another node has gone out of service meanwhile")

// change does operations in one transaction, if a node's record and notice are still as they were shown, and if guard
// holds, unless it is nil. It returns etcd's revision. Its error is errRecount if it was the guard that didn't hold.
func change(
	ctx context.Context, a *app.App, source fleet.Source, t *target, guard *clientv3.Cmp, ops ...clientv3.Op,
) (int64, error) {
	still := []clientv3.Cmp{
		clientv3.Compare(clientv3.ModRevision(t.key), "=", revisionOf(t.record)),
		clientv3.Compare(clientv3.ModRevision(t.noticeKey), "=", revisionOf(t.notice)),
	}
	cmps := still
	if guard != nil {
		cmps = append(cmps, *guard)
	}
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), a.Flags.Timeout)
	defer cancel()
	answer, err := source.Client.Txn(ctx).If(cmps...).Then(ops...).Else(clientv3.OpTxn(still, nil, nil)).Commit()
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return 0, app.No("not done: the lease of %s has ended, or doesn't exist", output.Line(t.shown().Key))
	case err != nil && !etcderr.IsAnswer(err):
		return 0, fmt.Errorf("unclear whether %s was changed: %w; look with `micro-etcd show`", output.Line(t.shown().Key), err)
	case err != nil:
		return 0, err
	case answer.Succeeded:
		return answer.Header.Revision, nil
	case answer.Responses[0].GetResponseTxn().Succeeded:
		return 0, errRecount
	}
	return 0, errChanged(t.shown().Key)
}

// explainChange adds what a user needs that may not change a service's nodes.
func explainChange(err error, source fleet.Source) error {
	if !errors.Is(err, rpctypes.ErrPermissionDenied) {
		return connect.Explain(err)
	}
	return fmt.Errorf("%w: the user needs readwrite permission for the service's directory: etcdctl role grant-permission ROLE --prefix=true readwrite %s",
		err, output.Line(source.Dir()))
}

// oneByOne does a change of each of several nodes. It goes on after a node for which the answer is no, and stops when
// the brake or etcd stops it, or ctx ends; then it says what was done and what wasn't.
func oneByOne(ctx context.Context, source fleet.Source, all []*target, do func(context.Context, *target) error) error {
	var failed error
	var done []string
	for i, t := range all {
		err := do(ctx, t)
		if err == nil {
			done = append(done, t.name())
			continue
		}
		failed = app.Join(failed, explainChange(err, source))
		var braked brakeError
		stopped := errors.As(err, &braked)
		if !stopped && app.ExitOf(err).Code == app.ExitNo && ctx.Err() == nil {
			continue
		}
		var rest []string
		if stopped || errors.Is(err, rpctypes.ErrPermissionDenied) {
			rest = append(rest, t.name()) // else the error names it
		}
		for _, t := range all[i+1:] {
			rest = append(rest, t.name())
		}
		if len(done) > 0 {
			failed = app.Error{Code: app.ExitOf(failed).Code, Err: fmt.Errorf("%w; done: %s", failed, listed(done))}
		}
		if len(rest) > 0 {
			failed = app.Error{Code: app.ExitOf(failed).Code, Err: fmt.Errorf("%w; not done: %s", failed, listed(rest))}
		}
		return failed
	}
	return failed
}

// maxListed bounds how many nodes a message names.
const maxListed = 40

// listed names some of many.
func listed(names []string) string {
	if more := len(names) - maxListed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), more)
	}
	return strings.Join(names, ", ")
}

// brakeError says that too many nodes are out of service.
type brakeError struct {
	service string
	nodes   brake.Nodes
}

func (e brakeError) Error() string {
	if e.nodes.In+e.nodes.Out < 2 {
		return fmt.Sprintf("stopped: service %s has no other node; --force overrides that", output.Cell(e.service))
	}
	return fmt.Sprintf(
		"stopped: %d of %d nodes of service %s are out of service, and one more would be over half; --force overrides that",
		e.nodes.Out, e.nodes.In+e.nodes.Out, output.Cell(e.service))
}
