package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// service is one as programs get it.
type service struct {
	Datacenter string           `json:"datacenter,omitempty"`
	Name       string           `json:"service"`
	Nodes      int              `json:"nodes"`
	Out        int              `json:"out_of_service"` // nodes that aren't among the others
	Versions   []serviceVersion `json:"versions"`
}

type serviceVersion struct {
	Version string `json:"version"`
	Nodes   int    `json:"nodes"`
	Out     int    `json:"out_of_service"`
}

func newServices(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "services",
		Aliases: []string{"ls"},
		Short:   "List the services there are",
		Long: `List the services there are, with their versions, and how many nodes each has in service (NODES) and out of
service (OUT). -o wide has a line for each version.`,
		Example: `  micro-etcd services
  micro-etcd services -l zone=a
  micro-etcd services -a etcd-1:2379,etcd-2:2379 -o json`,
		Args:              app.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return listServices(cmd.Context(), a) },
	}
	a.AddListFlags(cmd)
	return cmd
}

func listServices(ctx context.Context, a *app.App) error {
	services := []service{}
	failed := a.Each(func(a *app.App) error {
		found, err := readServices(ctx, a)
		services = append(services, found...)
		return err
	})
	if failed != nil && len(services) == 0 {
		return failed
	}
	err := printServices(a, services)
	if len(services) > 0 && (a.Format == output.Table || a.Format == output.Wide) {
		sayTotal(a, services)
	}
	return app.Join(err, failed)
}

func printServices(a *app.App, services []service) error {
	var names []string
	for _, s := range services {
		names = append(names, s.Name)
	}
	heading := "VERSIONS"
	if a.Format == output.Wide {
		heading = "VERSION"
	}
	rows := output.Rows{a.Row("SERVICE", heading, "NODES", "OUT")}
	for _, s := range services {
		row := func(versions string, nodes, out int) {
			rows.Row(a.RowOf(s.Datacenter, output.Cell(s.Name), versions, strconv.Itoa(nodes), strconv.Itoa(out))...)
		}
		var versions []string
		for _, v := range s.Versions {
			version := output.Cell(v.Version)
			if versions = append(versions, version); a.Format == output.Wide {
				row(version, v.Nodes, v.Out)
			}
		}
		if a.Format != output.Wide {
			row(strings.Join(versions, ", "), s.Nodes, s.Out)
		}
	}
	return a.PrintList(services, names, rows, 0)
}

// sayTotal counts what is listed, for people.
func sayTotal(a *app.App, services []service) {
	nodes, out := 0, 0
	for _, s := range services {
		nodes += s.Nodes
		out += s.Out
	}
	text := output.Count(len(services), "service") + ", " + output.Count(nodes, "node") + " in service"
	if out > 0 {
		text += fmt.Sprintf(", %d out of service", out)
	}
	fmt.Fprintln(a.Err, text)
}

func readServices(ctx context.Context, a *app.App) ([]service, error) {
	c, err := a.Flags.Connect(ctx, a.Streams, "", io.Discard)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	p := a.Progress("reading records")
	f, err := c.Read(ctx, p.Update)
	p.End()
	if err != nil {
		return nil, connect.Explain(err)
	}
	services := summarize(a.List.SelectedServices(a.VisibleServices(f)), a.List.Selected(f.OutOfService()))
	if len(services) == 0 {
		fmt.Fprintf(a.Err, "no service below %s\n", output.Line(c.Dir()))
	}
	for i := range services {
		services[i].Datacenter = a.Flags.Datacenter
	}
	return services, nil
}

// summarize counts the nodes of services, and those that are out of service.
func summarize(all []fleet.Service, out []*fleet.Record) []service {
	services := []service{}
	for _, s := range all {
		sum := service{Name: s.Name}
		for _, v := range s.Versions {
			sum.Nodes += len(v.Nodes)
			sum.Versions = append(sum.Versions, serviceVersion{v.Version, len(v.Nodes), 0})
		}
		services = append(services, sum)
	}
	for _, r := range out {
		i, found := slices.BinarySearchFunc(services, r.Service.Name, func(s service, name string) int {
			return strings.Compare(s.Name, name)
		})
		if !found {
			services = slices.Insert(services, i, service{Name: r.Service.Name})
		}
		services[i].countOut(r.Service.Version)
	}
	return services
}

// countOut counts a node of a version that is out of service.
func (s *service) countOut(version string) {
	s.Out++
	i, found := slices.BinarySearchFunc(s.Versions, version, func(v serviceVersion, name string) int {
		return strings.Compare(v.Version, name)
	})
	if !found {
		s.Versions = slices.Insert(s.Versions, i, serviceVersion{Version: version})
	}
	s.Versions[i].Out++
}
