// Package etcdconn is what the etcd client leaves to be desired for long-lived state: connections to members that can
// be given up one by one, leases whose renewal doesn't depend on a single member, and watches that are opened without
// waiting for each other. It knows nothing of registries.
//
// Nothing is waited for with a mutex of this package held. What is called back then must not block, and its comment
// says so.
package etcdconn
