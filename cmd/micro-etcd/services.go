package main

import (
	"context"
	"io"
	"maps"
	"slices"
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
		Args:              cobra.NoArgs,
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
	services, malformed := summarize(f)
	a.warnMalformed(malformed)
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

// summarize counts as go-micro does: one node per id of a service, in the version written last.
func summarize(f *fleet.Fleet) (services []service, malformed int) {
	newest := make(map[string]map[string]*fleet.Record) // by service and node id
	for _, r := range f.Records {
		if r.Service == nil {
			malformed++
			continue
		}
		nodes := newest[r.Service.Name]
		if nodes == nil {
			nodes = make(map[string]*fleet.Record)
			newest[r.Service.Name] = nodes
		}
		if other := nodes[r.Node().Id]; other == nil || other.Modified < r.Modified {
			nodes[r.Node().Id] = r
		}
	}
	services = []service{}
	for _, name := range slices.Sorted(maps.Keys(newest)) {
		versions := make(map[string]int)
		for _, r := range newest[name] {
			versions[r.Service.Version]++
		}
		s := service{Name: name, Nodes: len(newest[name])}
		for _, v := range slices.Sorted(maps.Keys(versions)) {
			s.Versions = append(s.Versions, serviceVersion{v, versions[v]})
		}
		services = append(services, s)
	}
	return services, malformed
}
