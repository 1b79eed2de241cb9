// Ours is a process with the registry of this project.
package main

import (
	"github.com/micro-etcd/micro-etcd/registry/etcd"

	"github.com/micro-etcd/micro-etcd/test/interop/peers/agent"
	"github.com/micro-etcd/micro-etcd/test/interop/peers/agent/gomicro4"
)

func main() { agent.Run(gomicro4.New(etcd.NewRegistry())) }
