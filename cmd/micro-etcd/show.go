package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

func newShow(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show SERVICE [NODE]",
		Short: "Show all there is to know of a service, or of one of its nodes",
		Long: `Show all there is to know of a service, or of one of its nodes: each version's metadata and endpoints, and each node's
address, metadata, key, size, lease and revisions, and why it is out of service. Long texts are cut;
-o json and -o yaml have them whole.

` + app.WhyNoAge + ``,
		Example: `  micro-etcd show greeter
  micro-etcd show greeter greeter-6fa1
  micro-etcd show greeter -o yaml`,
		Args:              app.OneServiceAndNode,
		ValidArgsFunction: a.CompleteNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			node := ""
			if len(args) > 1 {
				node = args[1]
			}
			return show(cmd.Context(), a, args[0], node)
		},
	}
	a.Format.AddFlag(cmd)
	return cmd
}

// show shows a service, or one of its nodes unless that is "".
func show(ctx context.Context, a *app.App, service, node string) error {
	var all []app.Record
	var b strings.Builder
	found := 0
	failed := a.ReadEverywhere(ctx, service, func(s *fleet.Service, records []app.Record) {
		found += len(records)
		isOther := func(r app.Record) bool { return node != "" && r.Node != node }
		for i, v := range s.Versions {
			s.Versions[i].Nodes = slices.DeleteFunc(v.Nodes, func(r *fleet.Record) bool {
				return node != "" && r.Node().Id != node
			})
		}
		if records = slices.DeleteFunc(records, isOther); len(records) > 0 {
			describeService(&b, s, records)
		}
		all = append(all, records...)
	})
	switch {
	case found == 0:
		return failed
	case len(all) == 0:
		return app.Join(app.No("service %q has no node %q", service, node), failed)
	}
	return app.Join(a.Format.Print(a.Out, all, func(w io.Writer) error {
		_, err := io.WriteString(w, b.String())
		return err
	}), failed)
}

func describeService(b *strings.Builder, s *fleet.Service, records []app.Record) {
	in := ""
	if dc := records[0].Datacenter; dc != "" {
		in = ", data center " + dc
	}
	left := records
	for _, v := range s.Versions {
		if len(v.Nodes) == 0 {
			continue
		}
		describeVersion(b, s.Name, &v, in)
		for i := range v.Nodes {
			describeNode(b, &left[i])
		}
		left = left[len(v.Nodes):]
	}
	if len(left) > 0 {
		fmt.Fprintf(b, "%s%s, out of service\n", output.Cell(s.Name), in)
	}
	for i := range left {
		describeNode(b, &left[i])
	}
}

// maxShown bounds how many entries of one kind are shown.
const maxShown = 40

func describeVersion(b *strings.Builder, service string, v *fleet.Version, in string) {
	fmt.Fprintf(b, "%s, version %s%s\n", output.Cell(service), output.Cell(v.Version), in)
	describeMetadata(b, "  ", v.Profile.Metadata)
	for i, e := range v.Profile.Endpoints {
		if i == maxShown {
			fmt.Fprintf(b, "  … and %s more\n", output.Count(len(v.Profile.Endpoints)-i, "endpoint"))
			break
		}
		fmt.Fprintf(b, "  endpoint %s(%s) %s\n", output.Cell(e.Name), valueType(e.Request), valueType(e.Response))
		describeMetadata(b, "    ", e.Metadata)
	}
}

func valueType(v *catalog.Value) string {
	if v == nil {
		return "-"
	}
	return output.Cell(v.Type)
}

func describeNode(b *strings.Builder, r *app.Record) {
	fmt.Fprintf(b, "  node %s at %s", output.Cell(r.Node), output.Cell(r.Address))
	if r.Out != nil {
		fmt.Fprintf(b, ", version %s\n    out    %s", output.Cell(r.Version), r.Out)
	}
	b.WriteString("\n")
	describeMetadata(b, "    ", r.Metadata)
	fmt.Fprintf(b, "    key    %s, %s\n", output.Line(r.Key), output.Count(r.Bytes, "byte"))
	switch {
	case r.Lease == nil:
		b.WriteString("    lease  none: it stays until somebody deletes it\n")
	case r.Lease.Left == nil:
		fmt.Fprintf(b, "    lease  %s, which is gone\n", r.Lease.ID)
	default:
		fmt.Fprintf(b, "    lease  %s, %d s left of %d s\n", r.Lease.ID, *r.Lease.Left, *r.Lease.Granted)
	}
	fmt.Fprintf(b, "    made at revision %d, written %s, last at revision %d\n", r.Created, times(r.Writes), r.Modified)
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func describeMetadata(b *strings.Builder, indent string, metadata map[string]string) {
	for i, key := range slices.Sorted(maps.Keys(metadata)) {
		if i == maxShown {
			fmt.Fprintf(b, "%s… and %d more\n", indent, len(metadata)-i)
			return
		}
		fmt.Fprintf(b, "%s%s = %s\n", indent, output.Cell(key), output.Cell(metadata[key]))
	}
}
