package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
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
	a.flags.addOutput(cmd)
	return cmd
}

func (a *app) services(ctx context.Context) error {
	c, err := a.connect(ctx, "", io.Discard)
	if err != nil {
		return err
	}
	defer c.close()
	p := a.progress("reading records")
	f, err := c.Read(ctx, p.tell)
	p.end()
	if err != nil {
		return explain(err)
	}
	services := summarize(a.seen(f))
	if len(services) == 0 {
		fmt.Fprintf(a.err, "no service below %s\n", line(c.Dir()))
	}
	return a.print(services, func(w io.Writer) error {
		t := table{{"SERVICE", "VERSION", "NODES"}}
		for _, s := range services {
			for _, v := range s.Versions {
				t.row(cell(s.Name), cell(v.Version), strconv.Itoa(v.Nodes))
			}
		}
		return t.write(w)
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
