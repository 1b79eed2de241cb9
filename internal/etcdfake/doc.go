// Package etcdfake is a scripted etcd in memory, for simulations in virtual time (testing/synctest). Real etcd clients
// talk to it over gRPC. It answers as etcd does, which test/fake compares, but for what its faults (faults.go) and its
// network (network.go) make it do.
//
// Its members are addresses that lead to the same data, leases and watches. One that fails is never the leader: there
// is no election, and leases go on.
//
// Virtual time only passes while every goroutine waits, and nobody who waits for a mutex does so in that sense: what a
// simulation waits for with a mutex held stands still for ever.
package etcdfake
