// Package etcdtest runs real etcd servers inside a test, or inside any other program.
//
//	func TestMyService(t *testing.T) {
//		srv := etcdtest.Start(t)
//		reg := etcd.NewRegistry(registry.Addrs(srv.Endpoint()))
//		...
//	}
//
// A server answers when Start returns, listens on loopback only, keeps its data in a directory of its own, writes
// nothing unless the test fails, and is gone when the test ends. Stop and Restart make an outage: same data, same port.
// StartCluster gives several members that elect a leader among themselves.
//
// After a cluster's end the connections between its members linger for up to five seconds; nothing else stays.
//
// Data is not flushed to the disk, so it survives Stop and Restart but not a crash of the machine. A single server uses
// a short election timeout and therefore grants leases of one second; members of a cluster use etcd's own timing, where
// the shortest lease is two seconds.
package etcdtest
