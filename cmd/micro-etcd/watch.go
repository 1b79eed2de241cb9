package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// event is one as programs get it.
type event struct {
	Time       string      `json:"time"`
	Datacenter string      `json:"datacenter,omitempty"`
	Event      string      `json:"event"` // there, appeared, changed, gone, app.StateOut, stateBack, connected, disconnected
	Revision   int64       `json:"revision,omitempty"`
	Record     *app.Record `json:"record,omitempty"` // as it is now; of gone, as it was
	Before     *app.Record `json:"before,omitempty"` // of changed, as it was
	Changes    string      `json:"changes,omitempty"`
	Error      string      `json:"error,omitempty"`
}

// stateBack is the event of a node that isn't out of service any more.
const stateBack = "back in service"

func newWatch(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch [SERVICE]",
		Short: "Show what is there, and then each change as it happens",
		Long: `Show what is there, and then each change as it happens, of one service or of all, until Ctrl-C.

A record that is deleted and put back, as the registry does it for a process that lives, shows as
gone and appeared. A node that is drained, or whose own health checks fail, shows as out of service,
and then as back in service. When the connection is lost, or etcd can't be followed, that is said; when it is
back, what happened meanwhile follows. With -o json there is one object per line, with -o yaml one
document per event.`,
		Example: `  micro-etcd watch
  micro-etcd watch greeter -o json | jq -c 'select(.event == "gone") | .record.node'`,
		Args:              app.OneServiceOrAll,
		ValidArgsFunction: a.CompleteService,
		RunE: func(cmd *cobra.Command, args []string) error {
			service := ""
			if len(args) > 0 {
				service = args[0]
			}
			return watch(cmd.Context(), a, service)
		},
	}
	a.Format.AddFlag(cmd)
	return cmd
}

// watch watches all data centers. It ends without an error when ctx does, unless one can't be watched: then that is
// said, and the others go on.
func watch(ctx context.Context, a *app.App, service string) error {
	var watching sync.WaitGroup
	var printing sync.Mutex
	failures := make(chan error, len(a.Flags.Each()))
	failed := a.Each(func(a *app.App) error {
		c, err := a.Flags.Connect(ctx, a.Streams, service, io.Discard)
		if err != nil {
			return err
		}
		watching.Go(func() {
			defer c.Close()
			failures <- watchOne(ctx, a, c, &printing)
		})
		return nil
	})
	if failed != nil && a.Flags.HasDatacenters() {
		printing.Lock()
		fmt.Fprintln(a.Err, output.Sanitize(failed.Error()))
		printing.Unlock()
		failed = app.Error{Code: app.ExitOf(failed).Code}
	}
	watching.Wait()
	close(failures)
	for err := range failures {
		failed = app.Join(failed, err)
	}
	return failed
}

// watchOne ends without an error when ctx does.
func watchOne(ctx context.Context, a *app.App, c *connect.Connection, printing *sync.Mutex) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	connected, empty := false, true
	tell := func(e fleet.Event) {
		if !connected && errors.Is(e.Err, rpctypes.ErrPermissionDenied) {
			cancel(connect.Explain(e.Err))
			return
		}
		if e.Kind != fleet.Gone || !e.Swap { // else its other half says it
			if err := printEvent(a, e); err != nil {
				cancel(err)
				return
			}
		}
		empty = empty && e.Record == nil
		if e.Kind == fleet.Connected && !connected {
			connected = true
			if empty {
				reportNone(a, c.Source)
			}
		}
	}
	err := c.Follow(ctx, func(events []fleet.Event) {
		printing.Lock()
		defer printing.Unlock()
		for _, e := range events {
			if ctx.Err() == nil {
				tell(e)
			}
		}
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// reportNone tells somebody who has mistyped a name from one who waits for the first record.
func reportNone(a *app.App, source fleet.Source) {
	if source.Service == "" {
		fmt.Fprintf(a.Err, "no record below %s yet\n", output.Line(source.Dir()))
	} else {
		fmt.Fprintf(a.Err, "no record of service %s yet\n", output.Cell(source.Service))
	}
}

func printEvent(a *app.App, e fleet.Event) error {
	v := newEvent(e)
	v.Datacenter = a.Flags.Datacenter
	switch a.Format {
	case output.AsJSON:
		return output.JSON(a.Out, v, "")
	case output.AsYAML:
		if _, err := io.WriteString(a.Out, "---\n"); err != nil {
			return err
		}
		return output.YAML(a.Out, v)
	}
	in := ""
	if v.Datacenter != "" {
		in = v.Datacenter + "  "
	}
	_, err := fmt.Fprintf(a.Out, "%s  %s%-15s  %s\n", e.At.Format(time.TimeOnly), in, v.Event, v.text())
	return err
}

func newEvent(e fleet.Event) event {
	v := event{Time: e.At.UTC().Format(time.RFC3339Nano), Event: e.Kind.String(), Revision: e.Revision}
	if e.Record != nil {
		now := app.NewRecord(e.Record)
		v.Record = &now
	}
	if e.Before != nil {
		before := app.NewRecord(e.Before)
		v.Before = &before
	}
	if e.Err != nil {
		v.Error = e.Err.Error()
	}
	switch {
	case e.Kind == fleet.Appeared && e.Record.Before:
		v.Event = "there"
	case e.Swap && e.Record.IsNotice():
		v.Event = app.StateOut
	case e.Swap:
		v.Event = stateBack
	case e.Kind == fleet.Changed:
		v.Changes = strings.Join(changes(v.Before, v.Record), "; ")
	case e.Kind == fleet.Gone:
		v.Record, v.Before = v.Before, nil
	}
	return v
}

// text is what people get after time and event.
func (v *event) text() string {
	switch {
	case v.Error != "":
		return output.Sanitize(v.Error)
	case v.Record == nil:
		return fmt.Sprintf("all there is as of revision %d", v.Revision)
	case v.Record.Malformed != "":
		return fmt.Sprintf("%s: %s", output.Line(v.Record.Key), output.Line(v.Record.Malformed))
	}
	r := v.Record
	text := fmt.Sprintf("%s %s  %s at %s",
		output.Cell(r.Service), output.Cell(r.Version), output.Cell(r.Node), output.Cell(r.Address))
	switch {
	case v.Changes != "":
		text += ": " + v.Changes
	case r.Out != nil:
		if text += ", "; v.Event != app.StateOut {
			text += app.StateOut + " "
		}
		text += r.Out.String()
	case r.Lease == nil:
		text += ", no lease"
	default:
		text += ", lease " + r.Lease.ID
	}
	return text
}

// changes says what differs between two states of a key.
func changes(x, y *app.Record) []string {
	if x.Malformed != "" || y.Malformed != "" {
		return []string{"its record was malformed, or is"}
	}
	var all []string
	for _, field := range [][3]string{
		{"service", x.Service, y.Service},
		{"version", x.Version, y.Version},
		{"node", x.Node, y.Node},
		{"address", x.Address, y.Address},
		{"lease", x.LeaseName(), y.LeaseName()},
	} {
		if field[1] != field[2] {
			all = append(all, fmt.Sprintf("%s %s → %s", field[0], output.Cell(field[1]), output.Cell(field[2])))
		}
	}
	all = append(all, noticeChanges(x.Out, y.Out)...)
	all = append(all, mapChanges("metadata", x.Metadata, y.Metadata)...)
	all = append(all, mapChanges("service metadata", x.About, y.About)...)
	if len(all) == 0 {
		return []string{"written again"}
	}
	return all
}

// noticeChanges says what differs between two notices of a key.
func noticeChanges(x, y *app.OutOfService) []string {
	switch {
	case x == nil && y == nil:
		return nil
	case x == nil || y == nil:
		return []string{"it was a notice, or is"}
	}
	var all []string
	if x.Reason != y.Reason {
		all = append(all, fmt.Sprintf("reason %s → %s", output.Cell(x.Reason), output.Cell(y.Reason)))
	}
	if x.By != y.By {
		all = append(all, fmt.Sprintf("by %s → %s", output.Cell(x.By), output.Cell(y.By)))
	}
	if !x.Until.Equal(y.Until) {
		all = append(all, "until "+orNever(x.Until)+" → "+orNever(y.Until))
	}
	if x.Acknowledged.IsZero() && !y.Acknowledged.IsZero() {
		all = append(all, "acknowledged by its process")
	}
	return all
}

func orNever(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return app.Moment(t)
}

// maxChanges bounds how many entries of a map are told.
const maxChanges = 5

func mapChanges(what string, x, y map[string]string) []string {
	keys := maps.Clone(x)
	if keys == nil {
		keys = make(map[string]string)
	}
	maps.Copy(keys, y)
	var all []string
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		before, had := x[key]
		after, has := y[key]
		switch {
		case had && has && before == after:
			continue
		case !had:
			all = append(all, fmt.Sprintf("%s %s = %s", what, output.Cell(key), output.Cell(after)))
		case !has:
			all = append(all, fmt.Sprintf("%s without %s", what, output.Cell(key)))
		default:
			all = append(all, fmt.Sprintf("%s %s = %s → %s", what, output.Cell(key), output.Cell(before), output.Cell(after)))
		}
		if len(all) == maxChanges {
			return append(all, "…")
		}
	}
	return all
}
