// Package etcdconn is the connection to etcd. It adds to the etcd client what long-lived state needs: a client that can
// be replaced (connector.go), connections to members that can be given up one by one (dialer.go, balancer.go), requests
// that another member answers when one is silent (request.go), renewals that don't depend on a single member
// (renewals.go), and watches that are opened without waiting for each other (watch.go). It knows no keys and no
// records.
//
// Nothing is waited for with a mutex of this package held. What is called back then must not block, and its comment
// says so.
package etcdconn
