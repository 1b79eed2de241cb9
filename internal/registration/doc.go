// Package registration is the writing half of a registry: what this process wants to be in etcd, and one loop for each
// key that makes etcd agree.
//
//	registrar.go     the desired set
//	registration.go  one key: what is desired, what is known, and how events change that; no I/O
//	reconcile.go     the loop of one key, which makes etcd agree
//	write.go         how it writes the record, or the notice that stands for it
//	keys.go          how both keys are read together
//	notice.go        the loop's second key: the notice of a node out of service
//	health.go        the node's own checks, and how they take it out of service
//	watch.go         how the loop hears of changes
//	remove.go        how it ends
//	shared.go        what all keys share: configuration, errors, the leases
//	status.go        what others may know of it
//
// Lock order: Registrar.mu (in shared.go), registration.mu.
package registration
