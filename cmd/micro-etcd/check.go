package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/probe"
)

// checkCodes is what Nagios and its like take. doctor's codes mean the same.
const checkCodes = `  0  OK        all nodes answer
  1  WARNING   some nodes don't answer, or there is no such service
  2  CRITICAL  a service has no node in service that answers
  3  UNKNOWN   wrong usage, etcd couldn't be asked, or interrupted before all nodes were asked`

// checkFlags say what check asks, and how often.
type checkFlags struct {
	kind, path string
	timeout    time.Duration
	every      time.Duration // 0: once
}

func newCheck(a *app.App) *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [SERVICE]",
		Short: "Dial the nodes and report which don't answer",
		Long: `Dial every node in service, of one service or of all, and report which don't answer, and why. It only
reports: a node that doesn't answer stays registered and in service. Nodes out of service are listed,
but not dialed.

What counts as an answer depends on --type:
  tcp    something accepts the connection; a process that hangs passes
  http   GET --path has a status of 2xx or 3xx
  grpc   grpc.health.v1 says SERVING
  micro  Go Micro's Debug.Health says ok, or the server says that it has no such handler

The nodes are dialed from this machine, so a firewall counts, and a loopback address is one of this
machine. With --every the check is repeated until Ctrl-C, and only changes are printed after the
first round. The exit code is then that of the last complete round.

Exit codes of check:
` + checkCodes,
		Example: `  micro-etcd check
  micro-etcd check greeter --type micro
  micro-etcd check web --type http --path /healthz --every 10s
  micro-etcd check -o json | jq -r '.nodes[] | select(.state == "failing") | .address'`,
		Args:              app.OneServiceOrAll,
		ValidArgsFunction: a.CompleteService,
		RunE: func(cmd *cobra.Command, args []string) error {
			log.SetOutput(io.Discard) // to which net/http complains of servers that speak first
			p, err := f.probe(cmd)
			if err != nil {
				return err
			}
			c := &checker{App: a, probe: p, kind: f.kind}
			if len(args) > 0 {
				c.service = args[0]
			}
			return c.run(cmd.Context(), f.every)
		},
	}
	a.Format.AddFlag(cmd)
	cmd.Flags().StringVar(&f.kind, "type", "tcp", strings.Join(probe.Types(), ", "))
	cmd.Flags().StringVar(&f.path, "path", "/healthz", "what to GET; for --type http")
	cmd.Flags().DurationVar(&f.timeout, "node-timeout", 2*time.Second, "timeout for each node")
	cmd.Flags().DurationVar(&f.every, "every", 0, "repeat at this interval")
	types := cobra.FixedCompletions(probe.Types(), cobra.ShellCompDirectiveNoFileComp)
	_ = cmd.RegisterFlagCompletionFunc("type", types) // fails for an unknown flag only
	return cmd
}

func (f *checkFlags) probe(cmd *cobra.Command) (*probe.Probe, error) {
	if cmd.Flags().Changed("every") && f.every <= 0 {
		return nil, fmt.Errorf("--every %s is not positive", f.every)
	}
	if cmd.Flags().Changed("path") && f.kind != "http" {
		return nil, app.UsageError(cmd, "--path is for --type http")
	}
	return probe.New(f.kind, f.path, f.timeout)
}

// checker checks the nodes of a service, or of all services for "".
type checker struct {
	*app.App
	probe   *probe.Probe
	kind    string
	service string
}

func (c *checker) run(ctx context.Context, every time.Duration) error {
	conn, err := c.Flags.Connect(ctx, c.Streams, c.service, io.Discard)
	if err != nil {
		return err
	}
	defer conn.Close()
	p := c.Progress("reading records")
	f, err := conn.Read(ctx, p.Update)
	p.End()
	if err != nil {
		return connect.Explain(err)
	}
	services := c.VisibleServices(f)
	out := f.OutOfService()
	if len(services) == 0 && len(out) == 0 {
		if c.service != "" {
			fmt.Fprintf(c.Err, "no node of service %q below %s\n", c.service, output.Line(conn.Dir()))
		} else {
			fmt.Fprintf(c.Err, "no service below %s\n", output.Line(conn.Dir()))
		}
	}
	p = c.Progress("asking the nodes")
	report := c.round(ctx, services, out, p.Update)
	p.End()
	if every > 0 {
		err = c.printRound(report, report.write)
	} else {
		err = c.Format.Print(c.Out, report, report.write)
	}
	switch {
	case err != nil:
		return err
	case report.NotAsked > 0:
		return errors.New("interrupted before all nodes were asked")
	case every > 0:
		return c.repeat(ctx, conn.Source, report, every)
	}
	return report.end()
}

// repeat prints what has changed since the last report, until ctx ends.
func (c *checker) repeat(ctx context.Context, source fleet.Source, last *checkReport, every time.Duration) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	lost := false
	for {
		select {
		case <-ctx.Done():
			return last.end()
		case <-ticker.C:
		}
		f, err := source.Read(ctx, nil)
		if err != nil {
			if ctx.Err() == nil && !lost {
				lost = true
				fmt.Fprintf(c.Err, "%s  can't read from etcd, so no nodes were checked: %s\n",
					time.Now().Format(time.TimeOnly), output.Sanitize(connect.Explain(err).Error()))
			}
			continue
		}
		lost = false
		report := c.round(ctx, f.Services(), f.OutOfService(), nil)
		if report.NotAsked > 0 {
			continue // no verdict; ctx has ended
		}
		changes := report.since(last)
		last = report
		if len(changes.Results) > 0 {
			if err := c.printRound(changes, changes.writeChanges); err != nil {
				return err
			}
		}
	}
}

// printRound prints one of several reports: an object on a line, or a YAML document, or text.
func (c *checker) printRound(r *checkReport, text func(io.Writer) error) error {
	switch c.Format {
	case output.AsJSON:
		return output.JSON(c.Out, r, "")
	case output.AsYAML:
		if _, err := io.WriteString(c.Out, "---\n"); err != nil {
			return err
		}
		return output.YAML(c.Out, r)
	}
	if _, err := io.WriteString(c.Out, r.at.Format(time.TimeOnly)+"  "); err != nil {
		return err
	}
	return text(c.Out)
}

// atOnce is how many nodes are asked at a time. If none of 10,000 answers, they take 10,000/128 timeouts: 2:36 minutes.
const atOnce = 128

// round asks each node in service once, unless ctx ends.
func (c *checker) round(
	ctx context.Context, services []fleet.Service, out []*fleet.Record, progress fleet.Progress,
) *checkReport {
	now := time.Now()
	r := &checkReport{
		at: now, Time: now.UTC().Format(time.RFC3339Nano), Type: c.kind, Service: c.service,
		Results: []checkResult{}, Down: []string{},
	}
	nodes := fleet.Nodes(services...)
	for _, n := range nodes {
		r.Results = append(r.Results, newCheckResult(n))
	}
	_ = progress.Each(ctx, len(nodes), atOnce, func(ctx context.Context, i int) error {
		if ctx.Err() == nil {
			r.Results[i].ask(ctx, c.probe, nodes[i])
		}
		return nil // a node that doesn't answer is a result
	})
	for _, n := range out {
		r.Results = append(r.Results, newOutResult(n))
	}
	r.count()
	return r
}
