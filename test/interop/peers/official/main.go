// Official is a process with the etcd plugin that go-micro v4's users have, on the go-micro that this project is for.
package main

import (
	etcd "github.com/go-micro/plugins/v4/registry/etcd"

	"github.com/micro-etcd/micro-etcd/test/interop/peers/agent"
	"github.com/micro-etcd/micro-etcd/test/interop/peers/agent/gomicro4"
)

func main() { agent.Run(gomicro4.New(etcd.NewRegistry())) }
