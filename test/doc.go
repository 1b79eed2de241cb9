// Package test holds what proves micro-etcd against real etcd processes and real peers.
// It is a module of its own, so that users of the registry inherit neither.
package test

import (
	_ "github.com/go-micro/plugins/v4/registry/etcd"
	_ "go-micro.dev/v4"
	_ "go.etcd.io/etcd/client/v3"
	_ "go.etcd.io/etcd/server/v3/embed"
	_ "github.com/micro-etcd/micro-etcd/registry/etcd"
)
