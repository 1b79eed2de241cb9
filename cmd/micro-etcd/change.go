package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

func addYes(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "don't ask, for scripts")
}

var errNobody = errors.New("nobody to ask: standard input is no terminal; --yes does it without asking")

// confirm asks whether to do what was said, unless --yes was given. When it is declined, which it is when ctx ends, the
// error says what was done: nothing.
func (a *app) confirm(ctx context.Context, question, nothing string, yes bool) error {
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
		return no("%s", nothing)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return no("%s", nothing)
}

// describe says what a record is, how long it would last, and what becomes of it.
func (a *app) describe(ctx context.Context, source fleet.Source, r *fleet.Record, fate string) {
	v := newRecord(r)
	if leases, err := source.Leases(ctx, []clientv3.LeaseID{r.Lease}, nil); err == nil { // else without times
		v.fill(leases[r.Lease])
	}
	fmt.Fprintf(a.Err, "%s: ", output.Line(v.Key))
	if v.Malformed != "" {
		fmt.Fprintf(a.Err, "%s, of %s", output.Line(v.Malformed), output.Count(v.Bytes, "byte"))
	} else {
		fmt.Fprintf(a.Err, "node %s of service %s, version %s, at %s",
			output.Cell(v.Node), output.Cell(v.Service), output.Cell(v.Version), output.Cell(v.Address))
	}
	if v.Lease == nil {
		fmt.Fprintf(a.Err, "; without a lease, so it stays until somebody removes it. %s\n", fate)
	} else {
		fmt.Fprintf(a.Err, "; lease %s, %s left. %s\n", v.Lease.ID, v.ttl(), fate)
	}
}

func errChanged(key string) error {
	return no("not done: what is at %s has changed since it was shown", output.Line(key))
}

// revisionOf is when what was shown was written; nil is a key that wasn't there.
func revisionOf(shown *fleet.Record) int64 {
	if shown == nil {
		return 0
	}
	return shown.Modified
}

// requireUnchanged returns an error unless a key is still as it was shown. It may change right after.
func (a *app) requireUnchanged(ctx context.Context, source fleet.Source, key string, shown *fleet.Record) error {
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
func (a *app) ifUnchanged(
	ctx context.Context, source fleet.Source, key string, shown *fleet.Record, op clientv3.Op,
) (*clientv3.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, a.flags.Timeout)
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
