// Package app is what the subcommands share: streams and flags, arguments, completion, exit codes, and records as
// programs get them.
package app

import (
	"fmt"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/iostreams"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// App is what the subcommands share.
type App struct {
	iostreams.Streams
	Flags  connect.Flags
	Format output.Format // of the commands that print in each
	List   List          // of those that list something
}

// Row returns the headings of a table, with one for data centers if there are any.
func (a *App) Row(headings ...string) []string { return a.RowOf("DC", headings...) }

// RowOf returns the cells of a table's row, with its data center if there are any.
func (a *App) RowOf(datacenter string, cells ...string) []string {
	if !a.Flags.HasDatacenters() {
		return cells
	}
	return append([]string{datacenter}, cells...)
}

// Each does something for each data center, one after the other. An error doesn't keep it from the others: they come in
// the end, with the data centers' names.
func (a *App) Each(do func(*App) error) error {
	var all error
	for _, flags := range a.Flags.Each() {
		one := *a
		one.Flags = *flags
		err := do(&one)
		if err != nil && flags.Datacenter != "" {
			err = Error{ExitOf(err).Code, fmt.Errorf("data center %s: %w", flags.Datacenter, err)}
		}
		all = Join(all, err)
	}
	return all
}
