package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/probe"
)

// checkReport is a round as programs get it. With --every, those after the first one have only the nodes that changed,
// but count all.
type checkReport struct {
	at       time.Time
	Time     string        `json:"time"`
	Type     string        `json:"type"`
	Service  string        `json:"service,omitempty"` // the only one that was asked for
	Status   string        `json:"status"`            // ok, warning, critical or unknown
	All      int           `json:"all"`               // in service
	OK       int           `json:"ok"`
	Failing  int           `json:"failing"`
	NotAsked int           `json:"not_asked"`
	Out      int           `json:"out_of_service"` // neither asked nor counted
	Down     []string      `json:"down"`           // services that have no node in service that answers
	Results  []checkResult `json:"nodes"`
}

// checkResult is what was found out about a node.
type checkResult struct {
	Service string     `json:"service"`
	Version string     `json:"version"`
	Node    string     `json:"node"`
	Address string     `json:"address"`
	State   checkState `json:"state"`
	Reason  string     `json:"reason,omitempty"`
	Took    int64      `json:"milliseconds"`

	Out *app.OutOfService `json:"out_of_service,omitempty"`
}

// why says why a node is in its state, for people.
func (r *checkResult) why() string {
	if r.Out != nil {
		return r.Out.String()
	}
	return output.Line(r.Reason)
}

type checkState string

const (
	stateOK       checkState = "ok"
	stateFailing  checkState = "failing"
	stateNotAsked checkState = "not asked" // interrupted: nobody knows
	stateGone     checkState = "gone"      // no longer registered; app.StateOut is the fifth state
)

func newCheckResult(r *fleet.Record) checkResult {
	n := r.Node()
	return checkResult{
		Service: r.Service.Name, Version: r.Service.Version, Node: n.Id, Address: n.Address, State: stateNotAsked,
	}
}

// newOutResult is for the notice of a node out of service, which isn't asked.
func newOutResult(notice *fleet.Record) checkResult {
	r := newCheckResult(notice)
	r.State, r.Out = app.StateOut, app.NewRecord(notice).Out
	return r
}

// ask leaves no verdict when ctx ends before there is an answer.
func (r *checkResult) ask(ctx context.Context, p *probe.Probe, record *fleet.Record) {
	began := time.Now()
	err := p.Ask(ctx, record.Node())
	if err != nil && ctx.Err() != nil {
		return
	}
	r.State, r.Took = stateOK, time.Since(began).Milliseconds()
	if err != nil {
		r.State, r.Reason = stateFailing, strings.ToValidUTF8(err.Error(), "\ufffd")
	}
}

// key tells results apart. A node at another address is another.
func (r *checkResult) key() [3]string { return [3]string{r.Service, r.Node, r.Address} }

func (r *checkReport) count() {
	up := make(map[string]bool)
	for _, n := range r.Results {
		switch n.State {
		case stateOK:
			r.OK++
		case stateFailing:
			r.Failing++
		case stateNotAsked:
			r.NotAsked++
		case app.StateOut:
			r.Out++
		}
		up[n.Service] = up[n.Service] || n.State == stateOK || n.State == stateNotAsked
	}
	r.All = len(r.Results) - r.Out
	for service, isUp := range up {
		if !isUp {
			r.Down = append(r.Down, service)
		}
	}
	slices.Sort(r.Down)
	r.Status = [...]string{"ok", "warning", "critical", "unknown"}[r.code()]
}

// code is how a command ends that has found this.
func (r *checkReport) code() int {
	switch {
	case r.NotAsked > 0:
		return app.ExitFailed
	case len(r.Down) > 0:
		return app.ExitCritical
	case r.Failing > 0, r.All == 0 && r.Service != "":
		return app.ExitNo
	}
	return app.ExitOK
}

func (r *checkReport) end() error {
	if code := r.code(); code != app.ExitOK {
		return app.Error{Code: code}
	}
	return nil
}

// since returns the report with the changes since another one only.
func (r *checkReport) since(before *checkReport) *checkReport {
	was := make(map[[3]string]checkResult, len(before.Results))
	for _, n := range before.Results {
		was[n.key()] = n
	}
	changes := *r
	changes.Results = []checkResult{}
	for _, n := range r.Results {
		if was[n.key()].State != n.State {
			changes.Results = append(changes.Results, n)
		}
		delete(was, n.key())
	}
	for _, n := range before.Results {
		if _, gone := was[n.key()]; gone {
			n.State, n.Reason, n.Out, n.Took = stateGone, "", nil, 0
			changes.Results = append(changes.Results, n)
		}
	}
	return &changes
}

// write begins with the line that monitoring shows, and goes on with the nodes that aren't known to answer.
func (r *checkReport) write(w io.Writer) error {
	if _, err := fmt.Fprintln(w, r.summary()); err != nil {
		return err
	}
	t := output.Rows{{"STATE", "SERVICE", "VERSION", "NODE", "ADDRESS", "REASON"}}
	for _, n := range r.Results {
		if n.State != stateOK {
			t.Row(string(n.State), output.Cell(n.Service), output.Cell(n.Version), output.Cell(n.Node),
				output.Cell(n.Address), n.why())
		}
	}
	if len(t) == 1 {
		return nil
	}
	return t.Write(w)
}

// writeChanges writes a line for each.
func (r *checkReport) writeChanges(w io.Writer) error {
	var b strings.Builder
	b.WriteString(r.summary() + "\n")
	for _, n := range r.Results {
		fmt.Fprintf(&b, "%s  %-7s  %s %s  %s at %s", r.at.Format(time.TimeOnly), n.State,
			output.Cell(n.Service), output.Cell(n.Version), output.Cell(n.Node), output.Cell(n.Address))
		if n.Reason != "" || n.Out != nil {
			b.WriteString(": " + n.why())
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// maxDown limits how many services the summary names.
const maxDown = 10

func (r *checkReport) summary() string {
	answer := "answer"
	if r.All == 1 {
		answer = "answers"
	}
	text := fmt.Sprintf("%s: %d of %s %s (%s)",
		strings.ToUpper(r.Status), r.OK, output.Count(r.All, "node"), answer, r.Type)
	if r.Out > 0 {
		text += fmt.Sprintf(", %d out of service", r.Out)
	}
	if r.NotAsked > 0 {
		text += fmt.Sprintf(", %d not asked", r.NotAsked)
	}
	if len(r.Down) == 0 {
		return text
	}
	var names []string
	for _, name := range r.Down[:min(maxDown, len(r.Down))] {
		names = append(names, output.Cell(name))
	}
	if more := len(r.Down) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return text + "; services down: " + strings.Join(names, ", ")
}
