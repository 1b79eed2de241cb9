// Package test holds what proves micro-etcd against real etcd processes and real peers.
// It is a module of its own, so that users of the registry inherit neither.
package test
