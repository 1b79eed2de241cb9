// Package registration is the writing half of a registry: what this process wants to be in etcd, and one loop for each
// key that makes etcd agree.
//
//	registrar.go     the desired set
//	registration.go  one key: what is desired, what is known, and how events change that; no I/O
//	reconcile.go     the loop of one key, with all of its I/O
//	shared.go        what all keys share: configuration, errors, the leases
//	status.go        what others may know of it
//
// Lock order: Registrar.mu (in shared.go), registration.mu.
package registration
