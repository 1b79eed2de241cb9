// Package app is what the subcommands share: streams and flags, arguments, completion, exit codes, and records as
// programs get them.
package app

import (
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/iostreams"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// App is what the subcommands share.
type App struct {
	iostreams.Streams
	Flags  connect.Flags
	Format output.Format // of the commands that print in each
}
