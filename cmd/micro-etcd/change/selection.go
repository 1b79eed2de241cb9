package change

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// selection is which nodes of a service a command is for. Texts may be given as they are shown.
type selection struct {
	service, node string
	version       *string
	labels        app.Labels
}

// selectionFlags are what a selection comes from, beside the arguments.
type selectionFlags struct {
	version string
	labels  app.Labels
	all     bool
}

func (f *selectionFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.version, "version", "", "all nodes of this version")
	f.labels.AddFlag(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all nodes of the service")
}

// isBulk reports whether they are for several nodes.
func (f *selectionFlags) isBulk(cmd *cobra.Command) bool {
	return f.all || cmd.Flags().Changed("version") || len(f.labels) > 0
}

func (f *selectionFlags) parse(cmd *cobra.Command, args []string) (*selection, error) {
	byVersion, bulk := cmd.Flags().Changed("version"), f.isBulk(cmd)
	switch {
	case len(args) == 0, len(args) == 1 && !bulk, len(args) > 2,
		len(args) == 2 && bulk, f.all && (byVersion || len(f.labels) > 0):
		return nil, app.UsageError(cmd, "give a SERVICE and either a NODE, --version and --label, or --all")
	case len(args) == 2 && args[1] == "":
		return nil, fmt.Errorf("%w %q", etcd.ErrNodeID, args[1])
	}
	if err := app.CheckService(args[0]); err != nil {
		return nil, err
	}
	s := &selection{service: args[0]}
	if len(args) == 2 {
		s.node = args[1]
	}
	if byVersion {
		s.version = &f.version
	}
	s.labels = f.labels
	return s, f.labels.Check()
}

// String names what was selected.
func (s *selection) String() string {
	if s.node != "" {
		return fmt.Sprintf("node %q", s.node)
	}
	text := "node"
	if s.version != nil {
		text += fmt.Sprintf(" of version %q", *s.version)
	}
	return text + s.labels.String()
}

func (s *selection) matches(r *fleet.Record) bool {
	n := r.Node()
	if s.node != "" && !slices.Contains(output.Spellings(s.node), n.Id) ||
		s.version != nil && !slices.Contains(output.Spellings(*s.version), r.Service.Version) {
		return false
	}
	return s.labels.Match(n.Metadata)
}

// target is a place for a node, and what of it was shown.
type target struct {
	key, noticeKey string        // whether there is anything at them or not
	record, notice *fleet.Record // nil for none
	junk           *fleet.Record // what lies at the notice's key, and is none
}

// look returns what is there now, at one revision.
func (t *target) look(ctx context.Context, source fleet.Source) (*target, error) {
	f, err := source.Keys(ctx, t.key, t.noticeKey)
	if err != nil {
		return nil, err
	}
	return &target{key: t.key, noticeKey: t.noticeKey, record: f[0], notice: f[1]}, nil
}

// shown is the record, or the notice where there is none.
func (t *target) shown() *fleet.Record {
	if t.record != nil {
		return t.record
	}
	return t.notice
}

func (t *target) name() string { return output.Cell(t.shown().Node().Id) }

// isDrained reports whether somebody has drained the node, rather than its own checks.
func (t *target) isDrained() bool { return t.record == nil && t.notice.Notice.By != "" }

// requireReadable returns an error about what is no notice, and may be one of a newer version of this command.
func (t *target) requireReadable() error {
	if t.junk == nil {
		return nil
	}
	return app.No("not done: %s holds no notice that this version can read (%w); `micro-etcd deregister --record-key` removes it",
		output.Line(t.junk.Key), t.junk.Err)
}

// targets returns the nodes of a service by the place of their records, sorted by it.
func targets(source fleet.Source, f *fleet.Fleet) []*target {
	keys := source.Keyspace()
	byKey := make(map[string]*target)
	at := func(key string) *target {
		if byKey[key] == nil {
			byKey[key] = &target{key: key, noticeKey: keys.Notice(key)}
		}
		return byKey[key]
	}
	for _, r := range f.Records {
		switch of, isNotice := keys.OfNotice(r.Key); {
		case r.IsNotice():
			at(of).notice = r
		case isNotice:
			at(of).junk = r
		case r.Service != nil:
			at(r.Key).record = r
		}
	}
	var all []*target
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		all = append(all, byKey[key])
	}
	return all
}

// choose returns the selected nodes, in service or out of it. Having none is an error. source then has the service's
// name.
func choose(ctx context.Context, source *fleet.Source, s *selection) ([]*target, error) {
	var chosen []*target
	var junk error
	err := eachSpelling(ctx, *source, func(spelled fleet.Source, f *fleet.Fleet) bool {
		for _, t := range targets(spelled, f) {
			if t.shown() != nil && s.matches(t.shown()) {
				chosen = append(chosen, t)
			} else if t.shown() == nil && s.node != "" && t.key == spelled.Dir()+s.node {
				junk = t.requireReadable()
			}
		}
		source.Service = spelled.Service
		return len(chosen) > 0
	})
	switch {
	case len(chosen) > 0:
		return chosen, nil
	case err != nil:
		return nil, err
	case junk != nil:
		return nil, junk
	}
	return nil, app.No("no %s of service %q below %s", s, source.Service, source.Dir())
}

// eachSpelling reads a service by each name that may be meant, until look is content. Being denied one of them is an
// error only if no other is.
func eachSpelling(ctx context.Context, source fleet.Source, look func(fleet.Source, *fleet.Fleet) bool) error {
	var denied error
	for _, service := range output.Spellings(source.Service) {
		source.Service = service
		switch all, err := source.Read(ctx, nil); {
		case errors.Is(err, rpctypes.ErrPermissionDenied):
			denied = err
		case err != nil:
			return err
		case look(source, all):
			return nil
		}
	}
	return denied
}
