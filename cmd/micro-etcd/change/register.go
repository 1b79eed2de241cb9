package change

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// registration is what register was asked for.
type registration struct {
	service, version, node, address string
	metadata                        []string
	ttl                             time.Duration
	yes                             bool
}

// NewRegister returns the subcommand register, which registers a node by hand.
func NewRegister(a *app.App) *cobra.Command {
	var r registration
	cmd := &cobra.Command{
		Use:   "register --service NAME --node ID --address HOST:PORT",
		Short: "Register a node by hand, for as long as this command runs",
		Long: `Register a node by hand: for a process that can't do it itself, or for a while.

The record hangs on a lease that this command keeps alive. It stays until Ctrl-C, which deregisters
it, and disappears within its TTL if the command is killed. Should the record be deleted meanwhile,
it is put back, as the registry does it for every process.

With --ttl 0 the record gets no lease: the command ends at once, and the record stays until somebody
removes it, whether anybody listens at its address or not.

It says what is there before, and asks; --yes is for scripts.`,
		Example: `  micro-etcd register --service legacy --version 1 --node legacy-1 --address 10.0.0.7:80
  micro-etcd register --service legacy --node legacy-1 --address 10.0.0.7:80 --metadata protocol=mucp --ttl 0 --yes`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := app.NoArgs(cmd, args); err != nil {
				return err
			}
			return app.RequireFlags(cmd)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return register(cmd.Context(), a, &r) },
	}
	f := cmd.Flags()
	f.StringVar(&r.service, "service", "", "name of the service")
	f.StringVar(&r.version, "version", "latest", "version of the service")
	f.StringVar(&r.node, "node", "", "id of the node, unique in the service")
	f.StringVar(&r.address, "address", "", "host:port where the node listens")
	f.StringArrayVar(&r.metadata, "metadata", nil, "key=value of the node; may be repeated")
	f.DurationVar(&r.ttl, "ttl", 30*time.Second, "how long the record survives this command's death; 0: for ever")
	addYes(cmd, &r.yes)
	for _, name := range []string{"service", "node", "address"} {
		_ = cmd.MarkFlagRequired(name) // fails for an unknown flag only
	}
	return cmd
}

// value is the record to store, if it is one.
func (r *registration) value() (*registry.Service, error) {
	metadata, err := fleet.KeyValues("--metadata", r.metadata)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"service": r.service, "node": r.node, "address": r.address, "version": r.version,
	} {
		if !utf8.ValidString(value) || value == "" && name != "version" {
			return nil, fmt.Errorf("--%s %q is empty or not UTF-8", name, value)
		}
	}
	if !catalog.IsNodeID(r.node) {
		return nil, fmt.Errorf("%w %q", etcd.ErrNodeID, r.node)
	}
	if !isHostPort(r.address) {
		return nil, fmt.Errorf("--address %q is not host:port", r.address)
	}
	if r.ttl < 0 {
		return nil, fmt.Errorf("--ttl %s is negative", r.ttl)
	}
	node := &registry.Node{Id: r.node, Address: r.address, Metadata: metadata}
	return &registry.Service{Name: r.service, Version: r.version, Nodes: []*registry.Node{node}}, nil
}

// isHostPort reports whether somebody could listen there whom others can call.
func isHostPort(address string) bool {
	host, port, err := net.SplitHostPort(address)
	return err == nil && host != "" && fleet.IsPort(port)
}

func register(ctx context.Context, a *app.App, r *registration) error {
	s, err := r.value()
	if err != nil {
		return err
	}
	c, err := a.Flags.Connect(ctx, a.Streams, r.service, a.Err)
	if err != nil {
		return err
	}
	defer c.Close()
	source := c.Source
	there, err := source.Key(ctx, source.Dir()+r.node)
	if err != nil {
		return connect.Explain(err)
	}
	if err := confirm(ctx, a, proposal(ctx, a, source, r, there), "nothing registered", r.yes); err != nil {
		return err
	}
	if r.ttl == 0 {
		return putWithoutLease(ctx, a, source, s, there)
	}
	if err := requireUnchanged(ctx, source, source.Dir()+r.node, there); err != nil {
		return err
	}
	return keepRegistered(ctx, a, c, s, r.ttl)
}

// proposal says what is there and what will be done, and returns the question.
func proposal(ctx context.Context, a *app.App, source fleet.Source, r *registration, there *fleet.Record) string {
	key := output.Line(source.Dir() + r.node)
	if there == nil {
		fmt.Fprintf(a.Err, "%s is free.\n", key)
	} else {
		describe(ctx, a, source, there, "It will be overwritten.")
		if s := there.Service; s != nil && s.Name != r.service {
			fmt.Fprintf(a.Err, "Warning: it belongs to another service. %s and %s share that key, so %s loses this node.\n",
				output.Cell(s.Name), output.Cell(r.service), output.Cell(s.Name))
		}
	}
	if r.ttl == 0 {
		fmt.Fprintln(
			a.Err,
			"Without a lease the record stays until somebody removes it, also when nothing listens at its address any more.",
		)
	} else {
		fmt.Fprintf(
			a.Err,
			"The record stays as long as this command runs, and up to %s if it is killed; etcd raises a TTL that it finds too short.\n", r.ttl,
		)
	}
	verb := "Register"
	if there != nil {
		verb = "Overwrite it with"
	}
	return fmt.Sprintf("%s node %s of service %s, version %s, at %s?",
		verb, output.Cell(r.node), output.Cell(r.service), output.Cell(r.version), output.Cell(r.address))
}

// keepRegistered registers as any process does, and stays until ctx ends.
func keepRegistered(
	ctx context.Context, a *app.App, c *connect.Connection, s *registry.Service, ttl time.Duration,
) error {
	err := c.Registry.Register(s, registry.RegisterTTL(ttl), registry.RegisterContext(ctx))
	if err != nil {
		return connect.Explain(err)
	}
	fmt.Fprintf(a.Err, "Registered%s. Ctrl-C deregisters it and ends.\n", withTTL(ctx, c.Source, c.Dir()+s.Nodes[0].Id))
	<-ctx.Done()
	if err := c.Registry.Close(); err != nil {
		return err
	}
	fmt.Fprintln(a.Err, "Deregistered.")
	return nil
}

// withTTL says what TTL a record got: etcd raises those below its election timeout. It says nothing if that can't be
// read, because the record is there in any case.
func withTTL(ctx context.Context, source fleet.Source, key string) string {
	r, err := source.Key(ctx, key)
	if err != nil || r == nil {
		return ""
	}
	leases, err := source.Leases(ctx, []clientv3.LeaseID{r.Lease}, nil)
	if err != nil || leases[r.Lease].ID == 0 {
		return ""
	}
	return fmt.Sprintf(" with a TTL of %s", leases[r.Lease].Granted)
}

// putWithoutLease writes a record without a lease, if there is still what was shown.
func putWithoutLease(
	ctx context.Context, a *app.App, source fleet.Source, s *registry.Service, there *fleet.Record,
) error {
	key := source.Dir() + s.Nodes[0].Id
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if _, err := etcd.Decode(a.Flags.Prefix, key, value); err != nil {
		return fmt.Errorf("that would be no record: %w", err)
	}
	answer, err := ifUnchanged(ctx, a, source, key, there, clientv3.OpPut(key, string(value)))
	if err != nil {
		return connect.Explain(err)
	}
	fmt.Fprintf(a.Err, "Registered at revision %d.\n", answer.Header.Revision)
	return nil
}
