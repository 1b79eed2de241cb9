package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/client/pkg/v3/transport"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/doctor"
)

func newDoctor(a *app) *cobra.Command {
	var service string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is wrong with etcd and with the records in it",
		Long: `Connect to etcd as a registry would, and say what is wrong, and what to do about it:

  - addresses and members that can't be reached, in the registry's own words
  - mixed and old versions, no leader, alarms, a full database, members behind, learners, clocks
  - permissions that a consumer or a provider would miss
  - records that are malformed, collide, have no lease, are about to expire, or are huge
  - node ids and addresses that are registered twice, and what the official plugin leaves behind

It writes nothing. A user that may read one service only gives --service.`,
		Example: `  micro-etcd doctor
  micro-etcd doctor --service greeter --user greeter
  micro-etcd doctor -o json | jq -r '.findings[] | select(.severity == "critical") | .what'`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("service") {
				if err := checkService(service); err != nil {
					return err
				}
			}
			return a.doctor(cmd.Context(), service)
		},
	}
	a.flags.addOutput(cmd)
	cmd.Flags().StringVar(&service, "service", "", "examine permissions and records of this service only")
	return cmd
}

func (a *app) doctor(ctx context.Context, service string) error {
	target, err := a.target(ctx, service)
	if err != nil {
		return err
	}
	var p *progress
	shown := ""
	target.Progress = func(what string, done, all int) {
		if what != shown {
			p.end()
			p, shown = a.progress(what), what
		}
		p.tell(done, all)
	}
	report, err := doctor.Examine(ctx, *target)
	p.end()
	if err != nil {
		return err
	}
	escapeKeys(report)
	if err := a.print(report, func(w io.Writer) error { return writeReport(w, report) }); err != nil {
		return err
	}
	switch report.Worst() {
	case doctor.Critical:
		return exit{code: exitCritical}
	case doctor.Warning:
		return exit{code: exitNo}
	}
	return nil
}

func (a *app) target(ctx context.Context, service string) (*doctor.Target, error) {
	opts, err := a.options(ctx, io.Discard)
	if err != nil {
		return nil, err
	}
	config, err := a.tls()
	if err != nil {
		return nil, err
	}
	return &doctor.Target{
		Addresses: a.flags.addresses,
		Options:   opts,
		Prefix:    a.flags.prefix,
		Service:   service,
		TLS:       config,
		Timeout:   a.flags.timeout,
	}, nil
}

// tls is for requests beside the registry's.
func (a *app) tls() (*tls.Config, error) {
	ca, cert, key := a.flags.files()
	if (cert == "") != (key == "") {
		return nil, errors.New("--cert and --key belong together")
	}
	config, err := transport.TLSInfo{TrustedCAFile: ca, CertFile: cert, KeyFile: key}.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("TLS files: %w", err)
	}
	return config, nil
}

// escapeKeys replaces what JSON can't have: bytes of keys that are no UTF-8.
func escapeKeys(r *doctor.Report) {
	for i := range r.Findings {
		f := &r.Findings[i]
		if !utf8.ValidString(f.What) {
			f.What = harmless(f.What)
		}
		for j, subject := range f.Subjects {
			if !utf8.ValidString(subject) {
				f.Subjects[j] = plain(subject)
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
		wrap(&b, "  ", harmless(f.What))
		wrap(&b, "  → ", harmless(f.Advice))
		b.WriteString("\n")
	}
	wrap(&b, "", fmt.Sprintf("Asked %s; met %s.", harmless(strings.Join(r.Addresses, ", ")), met(r)))
	if r.Revision != 0 {
		wrap(&b, "", fmt.Sprintf("Read %s of %s below %s at revision %d.", count(r.Records, "record"), count(r.Services, "service"), harmless(r.Prefix), r.Revision))
	} else {
		b.WriteString("Read no records.\n")
	}
	fmt.Fprintf(&b, "%d critical, %s, %d to know.\n", counts[doctor.Critical], count(counts[doctor.Warning], "warning"), counts[doctor.Info])
	_, err := io.WriteString(w, b.String())
	return err
}

// met says whom the doctor met. Who met nobody doesn't know how many there are.
func met(r *doctor.Report) string {
	if r.Reached == 0 {
		return "no member"
	}
	return fmt.Sprintf("%d of %s, etcd %s", r.Reached, count(r.Members, "member"), harmless(strings.Join(r.Versions, ", ")))
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
