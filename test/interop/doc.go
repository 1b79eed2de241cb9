// Package interop tests that registry/etcd fits in where it is put: beside the other etcd registries of go-micro, under
// etcd's tools, proxies and versions, with TLS and roles as people use them, and with other people's rubbish in the
// same etcd.
//
// Everything is real: etcd servers, peers and tools are processes. The script run builds them and runs the tests.
package interop
