// Asim is a process with the etcd plugin as it was in the asim/go-micro repository, on the last go-micro that it builds
// with.
package main

import (
	etcd "github.com/asim/go-micro/plugins/registry/etcd/v4"

	"github.com/micro-etcd/micro-etcd/test/interop/peers/agent"
	"github.com/micro-etcd/micro-etcd/test/interop/peers/agent/gomicro4"
)

func main() { agent.Run(gomicro4.New(etcd.NewRegistry())) }
