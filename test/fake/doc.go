// Package fake holds the fake etcd of the tests in registry/etcd against a real one.
package fake
