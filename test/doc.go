// Package test holds what proves micro-etcd against real etcd processes and real peers. It is a module of its own, so
// that users of the registry inherit neither. The command micro-etcd does: its tests use packages of this module, and
// its ui --demo runs an etcd of etcdtest.
package test
