// Package etcdfake is a scripted etcd of one member in memory, for simulations in virtual time (testing/synctest). Real
// etcd clients talk to it over gRPC. It answers as etcd does, which test/fake compares, but for what its faults
// (faults.go) and its network (network.go) make it do.
//
// Virtual time only passes while every goroutine waits, and nobody who waits for a mutex does so in that sense: what a
// simulation waits for with a mutex held stands still for ever.
package etcdfake
