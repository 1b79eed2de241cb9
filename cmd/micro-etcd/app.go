package main

import (
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/iostreams"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// app is what the commands share.
type app struct {
	iostreams.Streams
	flags  connect.Flags
	format output.Format // of the commands that print in each
}
