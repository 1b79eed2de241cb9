package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// service is one as programs get it.
type service struct {
	Name     string           `json:"service"`
	Nodes    int              `json:"nodes"`
	Versions []serviceVersion `json:"versions"`
}

type serviceVersion struct {
	Version string `json:"version"`
	Nodes   int    `json:"nodes"`
}

func newServices(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "services",
		Short: "List the services there are",
		Long:  `List the services there are, with their versions and how many nodes each has.`,
		Example: `  micro-etcd services
  micro-etcd services -a etcd-1:2379,etcd-2:2379 -o json`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return a.services(cmd.Context()) },
	}
	a.format.AddFlag(cmd)
	return cmd
}

func (a *app) services(ctx context.Context) error {
	c, err := a.flags.Connect(ctx, a.Streams, "", io.Discard)
	if err != nil {
		return err
	}
	defer c.Close()
	p := a.Progress("reading records")
	f, err := c.Read(ctx, p.Update)
	p.End()
	if err != nil {
		return connect.Explain(err)
	}
	services := summarize(a.visibleServices(f))
	if len(services) == 0 {
		fmt.Fprintf(a.Err, "no service below %s\n", output.Line(c.Dir()))
	}
	return a.format.Print(a.Out, services, func(w io.Writer) error {
		t := output.Table{{"SERVICE", "VERSION", "NODES"}}
		for _, s := range services {
			for _, v := range s.Versions {
				t.Row(output.Cell(s.Name), output.Cell(v.Version), strconv.Itoa(v.Nodes))
			}
		}
		return t.Write(w)
	})
}

func summarize(all []fleet.Service) []service {
	services := []service{}
	for _, s := range all {
		sum := service{Name: s.Name}
		for _, v := range s.Versions {
			sum.Nodes += len(v.Nodes)
			sum.Versions = append(sum.Versions, serviceVersion{v.Version, len(v.Nodes)})
		}
		services = append(services, sum)
	}
	return services
}
