package app

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// List is what the flags of a command that lists something say.
type List struct {
	Labels    Labels
	NoHeaders bool
}

// AddListFlags adds them to a command, and the format's.
func (a *App) AddListFlags(cmd *cobra.Command) {
	a.Format.AddFlag(cmd, output.Wide, output.Name)
	a.List.Labels.AddFlag(cmd)
	cmd.Flags().BoolVar(&a.List.NoHeaders, "no-headers", false, "no heading above the table")
}

// Selected leaves the nodes that are wanted.
func (l *List) Selected(nodes []*fleet.Record) []*fleet.Record {
	return slices.DeleteFunc(slices.Clone(nodes), func(r *fleet.Record) bool { return !l.Labels.Match(r.Node().Metadata) })
}

// SelectedServices leaves the nodes that are wanted, and the services and versions that have some.
func (l *List) SelectedServices(services []fleet.Service) []fleet.Service {
	var left []fleet.Service
	for _, s := range services {
		versions := s.Versions
		s.Versions = nil
		for _, v := range versions {
			if v.Nodes = l.Selected(v.Nodes); len(v.Nodes) > 0 {
				s.Versions = append(s.Versions, v)
			}
		}
		if len(s.Versions) > 0 {
			left = append(left, s)
		}
	}
	return left
}

// PrintList prints values as JSON or YAML, their names, or a table of rows. Of those the last few are for wide ones.
func (a *App) PrintList(values any, names []string, rows output.Rows, wide int) error {
	return a.Format.Print(a.Out, values, func(w io.Writer) error {
		if a.Format == output.Name {
			for _, name := range names {
				if _, err := fmt.Fprintln(w, output.Cell(name)); err != nil {
					return err
				}
			}
			return nil
		}
		if a.Format != output.Wide {
			for i := range rows {
				rows[i] = rows[i][:len(rows[i])-wide]
			}
		}
		if a.List.NoHeaders {
			rows = rows[1:]
		}
		return rows.Write(w)
	})
}
