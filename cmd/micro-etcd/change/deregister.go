package change

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// NewDeregister returns the subcommand deregister, which removes a record by hand.
func NewDeregister(a *app.App) *cobra.Command {
	var flags selectionFlags
	var nodes *selection
	var key string
	var yes bool
	cmd := &cobra.Command{
		Use:   "deregister {SERVICE {NODE | [--version V] [--label KEY=VALUE,...] | --all} | --record-key KEY}",
		Short: "Remove records by hand",
		Long: `Remove records by hand: what processes left behind, or with --record-key one that is malformed.
Names and keys may be given as the other commands show them, escapes included.

It shows what is there and asks; --yes is for scripts. What has changed since it was shown stays.

A process that lives puts its record back: within a second if it uses this registry, at its next
tick at the latest if it uses another. So the command looks for two seconds whether that happens, and
says so. Such a record goes for good only when its process is stopped.`,
		Example: `  micro-etcd deregister greeter greeter-6fa1
  micro-etcd deregister greeter --version 1.4.1
  micro-etcd deregister --record-key /micro/registry/greeter/junk --yes`,
		Args: func(cmd *cobra.Command, args []string) (err error) {
			if key == "" {
				nodes, err = flags.parse(cmd, args)
				return err
			}
			if len(args) > 0 || flags.isBulk(cmd) {
				return app.UsageError(cmd, "--record-key is instead of a SERVICE and nodes")
			}
			nodes = &selection{}
			return nil
		},
		ValidArgsFunction: a.CompleteNode,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return deregister(cmd.Context(), a, nodes, key, yes)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&key, "record-key", "", "key in etcd, below the prefix")
	addYes(cmd, &yes)
	return cmd
}

func deregister(ctx context.Context, a *app.App, nodes *selection, key string, yes bool) error {
	c, err := a.Flags.Connect(ctx, a.Streams, nodes.service, io.Discard)
	if err != nil {
		return err
	}
	defer c.Close()
	source := c.Source
	found, err := find(ctx, &source, nodes, key)
	if err != nil {
		return connect.Explain(err)
	}
	for i, r := range found {
		if i == maxDescribed {
			fmt.Fprintf(a.Err, "and %s more\n", output.Count(len(found)-i, "record"))
			break
		}
		describe(ctx, a, source, r, "A process that lives puts it back.")
	}
	if err := confirm(ctx, a, "Remove "+output.Count(len(found), "record")+"?", "nothing removed", yes); err != nil {
		return err
	}
	results := make([]error, len(found))
	var looking sync.WaitGroup // whether they come back, for two seconds each
	for i, r := range found {
		if ctx.Err() != nil {
			results[i] = fmt.Errorf("%s stays", output.Line(r.Key))
			continue
		}
		key, revision, err := remove(ctx, a, source, r)
		if err != nil {
			results[i] = connect.Explain(err)
			continue
		}
		looking.Go(func() { results[i] = connect.Explain(requireGone(ctx, source, key, revision)) })
	}
	looking.Wait()
	var failed error
	for _, err := range results {
		failed = app.Join(failed, err)
	}
	return failed
}

// maxDescribed bounds the records that are described before the question.
const maxDescribed = 20

// find returns the records of some nodes, or the one at a key. source then has the service's name.
func find(ctx context.Context, source *fleet.Source, nodes *selection, key string) ([]*fleet.Record, error) {
	switch {
	case key != "":
		return findKey(ctx, *source, key)
	case nodes.node != "":
		return findNode(ctx, *source, nodes.node)
	}
	targets, err := choose(ctx, source, nodes)
	var found []*fleet.Record
	for _, t := range targets {
		for _, r := range []*fleet.Record{t.record, t.notice} {
			if r != nil {
				found = append(found, r)
			}
		}
	}
	return found, err
}

func findKey(ctx context.Context, source fleet.Source, key string) ([]*fleet.Record, error) {
	var denied error
	for _, k := range output.Spellings(key) {
		if !strings.HasPrefix(k, source.Dir()) {
			return nil, fmt.Errorf("--record-key %q is not below the prefix %s", k, source.Dir())
		}
		switch r, err := source.Key(ctx, k); {
		case errors.Is(err, rpctypes.ErrPermissionDenied):
			denied = err
		case err != nil:
			return nil, err
		case r != nil:
			return []*fleet.Record{r}, nil
		}
	}
	if denied != nil {
		return nil, denied
	}
	return nil, app.No("there is no key %q", key)
}

// findNode returns the records of one node id, and the notice if it is out of service; with a collision there may be
// several.
func findNode(ctx context.Context, source fleet.Source, node string) ([]*fleet.Record, error) {
	var found []*fleet.Record
	err := eachSpelling(ctx, source, func(_ fleet.Source, all *fleet.Fleet) bool {
		for _, id := range output.Spellings(node) {
			if found = withID(all.Records, id); len(found) > 0 {
				return true
			}
		}
		return false
	})
	if err != nil || len(found) > 0 {
		return found, err
	}
	return nil, app.No("no node %q of service %q below %s", node, source.Service, source.Dir())
}

func withID(records []*fleet.Record, id string) []*fleet.Record {
	var found []*fleet.Record
	for _, r := range records {
		if n := r.Node(); n != nil && n.Id == id {
			found = append(found, r)
		}
	}
	return found
}

func onLease(id int64) string {
	if id == 0 {
		return "without a lease"
	}
	return "on lease " + fleet.LeaseName(clientv3.LeaseID(id))
}

// remove deletes a record as it was shown. It returns the key at which a living process puts back something, and the
// revision.
func remove(ctx context.Context, a *app.App, source fleet.Source, r *fleet.Record) (key string, at int64, err error) {
	answer, err := ifUnchanged(ctx, a, source, r.Key, r, clientv3.OpDelete(r.Key))
	if err != nil {
		return "", 0, err
	}
	fmt.Fprintf(a.Err, "Removed %s at revision %d.\n", output.Line(r.Key), answer.Header.Revision)
	key = r.Key
	if of, _ := source.Keyspace().OfNotice(key); r.IsNotice() {
		key = of
	}
	return key, answer.Header.Revision, nil
}

// returnTime is how long to look whether a record comes back: twice what the registry promises.
const returnTime = 2 * time.Second

// requireGone returns an error if a key comes back that was deleted at a revision, or if that can't be seen.
func requireGone(ctx context.Context, source fleet.Source, key string, revision int64) error {
	how, err := awaitReturn(ctx, source, key, revision)
	switch {
	case how != "":
		return app.No("%s %s: its process lives; stop that one", output.Line(key), how)
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted before it was clear whether %s comes back", output.Line(key))
	}
	return fmt.Errorf("could not look whether %s comes back: %w", output.Line(key), err)
}

// awaitReturn says how a key came back, if it did.
func awaitReturn(ctx context.Context, source fleet.Source, key string, revision int64) (how string, err error) {
	removed := time.Now()
	watched, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), returnTime)
	defer cancel()
	for response := range source.Client.Watch(watched, key, clientv3.WithRev(revision+1)) {
		if err := response.Err(); err != nil {
			return "", err
		}
		for _, event := range response.Events {
			if event.Type == clientv3.EventTypePut {
				return fmt.Sprintf("came back after %d ms, %s", time.Since(removed).Milliseconds(), onLease(event.Kv.Lease)), nil
			}
		}
	}
	if watched.Err() == nil {
		return "", errors.New("the watch ended")
	}
	// The watch may have been deaf: when its connection is lost the client resumes it in silence.
	r, err := source.Key(ctx, key)
	if err != nil || r == nil || r.Modified <= revision {
		return "", err
	}
	return "is there again, " + onLease(int64(r.Lease)), nil
}
