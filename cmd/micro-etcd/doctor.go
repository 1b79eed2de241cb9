package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/doctor"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/iostreams"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

func newDoctor(a *app.App) *cobra.Command {
	var service string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is wrong with etcd and with the records in it",
		Long: `Connect to etcd as a registry would, and say what is wrong, and what to do about it:

  - addresses and members that can't be reached, in the registry's own words
  - mixed and old versions, no leader, alarms, a full database, members behind, learners, clocks
  - members with different data, and etcds that take themselves for the same member
  - permissions that a consumer or a provider would miss
  - records that are malformed, collide, have no lease, are about to expire, or are huge
  - node ids and addresses that are registered twice, addresses that nobody can call
  - what the official plugin leaves behind

It writes nothing. A user that may read one service only gives --service.`,
		Example: `  micro-etcd doctor
  micro-etcd doctor --service greeter --user greeter
  micro-etcd doctor -o json | jq -r '.findings[] | select(.severity == "critical") | .what'`,
		Args:              app.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("service") {
				if err := app.CheckService(service); err != nil {
					return err
				}
			}
			return examine(cmd.Context(), a, service)
		},
	}
	a.Format.AddFlag(cmd)
	cmd.Flags().StringVar(&service, "service", "", "examine permissions and records of this service only")
	return cmd
}

// datacenterReport is that of a data center as programs get it.
type datacenterReport struct {
	Datacenter string `json:"datacenter,omitempty"`
	*doctor.Report
}

func examine(ctx context.Context, a *app.App, service string) error {
	var reports []datacenterReport
	failed := a.Each(func(a *app.App) error {
		report, err := examineOne(ctx, a, service)
		if err == nil {
			reports = append(reports, datacenterReport{a.Flags.Datacenter, report})
		}
		return err
	})
	if len(reports) == 0 {
		return failed
	}
	var printed any = reports
	if !a.Flags.HasDatacenters() {
		printed = reports[0]
	}
	err := a.Format.Print(a.Out, printed, func(w io.Writer) error {
		for _, r := range reports {
			if r.Datacenter != "" {
				fmt.Fprintf(w, "Data center %s\n\n", r.Datacenter)
			}
			if err := writeReport(w, r.Report); err != nil {
				return err
			}
			if r.Datacenter != "" && r != reports[len(reports)-1] {
				fmt.Fprintln(w)
			}
		}
		return nil
	})
	for _, r := range reports {
		err = app.Join(err, verdict(r.Report))
	}
	return app.Join(err, failed)
}

// verdict is how a report ends the command.
func verdict(r *doctor.Report) error {
	switch r.Worst() {
	case doctor.Critical:
		return app.Error{Code: app.ExitCritical}
	case doctor.Warning:
		return app.Error{Code: app.ExitNo}
	}
	return nil
}

func examineOne(ctx context.Context, a *app.App, service string) (*doctor.Report, error) {
	target, err := newTarget(ctx, a, service)
	if err != nil {
		return nil, err
	}
	var p *iostreams.Progress
	shown := ""
	target.Progress = func(what string, done, all int) {
		if what != shown {
			p.End()
			p, shown = a.Progress(what), what
		}
		p.Update(done, all)
	}
	report, err := doctor.Examine(ctx, *target)
	p.End()
	if err != nil {
		return nil, err
	}
	escapeKeys(report)
	return report, nil
}

func newTarget(ctx context.Context, a *app.App, service string) (*doctor.Target, error) {
	opts, err := a.Flags.Options(ctx, a.Streams, io.Discard)
	if err != nil {
		return nil, err
	}
	config, err := a.Flags.TLS()
	if err != nil {
		return nil, err
	}
	return &doctor.Target{
		Addresses: a.Flags.Addresses,
		Options:   opts,
		Prefix:    a.Flags.Prefix,
		Service:   service,
		TLS:       config,
		Timeout:   a.Flags.Timeout,
	}, nil
}

// escapeKeys replaces what JSON can't have: bytes of keys that are no UTF-8.
func escapeKeys(r *doctor.Report) {
	for i := range r.Findings {
		f := &r.Findings[i]
		if !utf8.ValidString(f.What) {
			f.What = output.Sanitize(f.What)
		}
		for j, subject := range f.Subjects {
			if !utf8.ValidString(subject) {
				f.Subjects[j] = output.Escape(subject)
			}
		}
	}
}

// lineWidth is where sentences are broken.
const lineWidth = 100

func writeReport(w io.Writer, r *doctor.Report) error {
	var b strings.Builder
	counts := make(map[doctor.Severity]int)
	for _, f := range r.Findings {
		counts[f.Severity]++
		fmt.Fprintf(&b, "%s (%s)\n", strings.ToUpper(f.Severity.String()), f.Check)
		wrap(&b, "  ", output.Sanitize(f.What))
		wrap(&b, "  → ", output.Sanitize(f.Advice))
		b.WriteString("\n")
	}
	wrap(&b, "", fmt.Sprintf("Asked %s; met %s.", output.Sanitize(strings.Join(r.Addresses, ", ")), met(r)))
	if r.Revision != 0 {
		wrap(&b, "", fmt.Sprintf("Read %s of %s below %s at revision %d.",
			output.Count(r.Records, "record"), output.Count(r.Services, "service"), output.Sanitize(r.Prefix), r.Revision))
		if r.Out > 0 {
			wrap(&b, "", output.Count(r.Out, "node")+" out of service.")
		}
	} else {
		b.WriteString("Read no records.\n")
	}
	fmt.Fprintf(&b, "%d critical, %s, %d to know.\n",
		counts[doctor.Critical], output.Count(counts[doctor.Warning], "warning"), counts[doctor.Info])
	_, err := io.WriteString(w, b.String())
	return err
}

// met says whom the doctor met. Who met nobody doesn't know how many there are.
func met(r *doctor.Report) string {
	if r.Reached == 0 {
		return "no member"
	}
	return fmt.Sprintf("%d of %s, etcd %s",
		r.Reached, output.Count(r.Members, "member"), output.Sanitize(strings.Join(r.Versions, ", ")))
}

// wrap writes a text in lines that begin below the end of first.
func wrap(b *strings.Builder, first, text string) {
	indent := strings.Repeat(" ", runewidth.StringWidth(first))
	line := first
	for i, word := range strings.Fields(text) {
		if i > 0 && runewidth.StringWidth(line)+1+runewidth.StringWidth(word) > lineWidth {
			b.WriteString(line + "\n")
			line = indent
		} else if i > 0 {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
}
