// Package registry holds the Go Micro service registries of micro-etcd and what they share.
//
// Every registry here promises:
//
//   - Drop-in: it implements [go-micro.dev/v4/registry.Registry], and changing an import line is enough to use it.
//   - What is registered stays registered while its process lives and has not deregistered it, without a TTL too.
//   - What is gone disappears: at once when deregistered, within its TTL when its process was killed.
//   - No event is lost: folding what a watcher's Next returned over an earlier lookup gives what a lookup returns now.
//   - A lookup costs no round trip after the first one for a service, and sees this process's own writes.
//   - Every call returns in bounded time.
//   - Bad input gets an error that names it, and bad data never hurts a neighbor.
//
// And none of them promises:
//
//   - Fencing or mutual exclusion: two processes may believe in the same node id for a while.
//   - Linearizable lookups by default: a view lags behind the store by the time that an event travels.
//   - Telling a hung process from a healthy one: what is registered is renewed as long as the process runs.
//
// Package [github.com/micro-etcd/micro-etcd/registry/etcd] is the registry on etcd v3, and
// [github.com/micro-etcd/micro-etcd/registry/registrytest] tests any registry against these rules.
package registry
