// Package federation tests registry/federation over real etcd: two and three data centers, of which one is stopped, cut
// off, wiped, closed to its users, or without services, and back.
package federation
