// Package etcd is a Go Micro v4 service registry on etcd v3, a drop-in for
// github.com/go-micro/plugins/v4/registry/etcd:
//
//	service := micro.NewService(
//		micro.Name("greeter"),
//		micro.Registry(etcd.NewRegistry()),
//	)
//
// Importing it also makes it available as --registry=etcd or MICRO_REGISTRY=etcd, and its selector ([NewSelector]) as
// --selector=etcd or MICRO_SELECTOR=etcd.
//
// # Promises
//
//   - P1 Drop-in. Names, environment variables, keys and JSON values are the official plugin's, and a fleet may mix
//     both. What differs on purpose, and matters most: registry.Secure verifies the server's certificate; explicit
//     options beat the environment (the --registry_address flag and its variable still win, because go-micro passes
//     them to Init); a bad address is an error, not a silent 127.0.0.1; services whose names differ only in "/" and "-"
//     can't use the same node id; and with users in etcd, a provider needs to read and write its service's directory,
//     not only its own key. docs/migration.md has the whole list.
//   - P2 What is registered stays registered while this process lives and has not deregistered it, whatever happens to
//     the key, the lease, the connection, or etcd's data. It is back within 1 s of etcd being able to take it, and
//     within 2 s after a total outage. With a majority of members in reach it is never missing, at any TTL of 5 s or
//     more, if one member is killed, frozen, slow or cut off (round trip up to 200 ms; not with a [Client] of the
//     caller's, nor behind etcd's gRPC proxy). Without a TTL a record lives as long as its process. Registered means:
//     in etcd, or out of service with a notice, because its [HealthCheck] fails or somebody has drained it.
//   - P3 What is gone disappears: at once when deregistered; within its TTL when its process was killed (etcd gives
//     every lease its full TTL again at each change of leader). A late Deregister never removes a newer owner's
//     registration.
//   - P4 No event is lost: folding what Next returned since a watch began over what any form of lookup returned in the
//     minute before it gives what GetService returns now, once etcd is reachable: in every field, across batches,
//     reconnects, compaction, restores and slow consumers. Next never fails for a reason that can be repaired.
//   - P5 A lookup costs no round trip after the first one for a service, sees this process's own writes, and is
//     answered from the last good view while etcd is away. With a [CacheDir] that goes for what a process before this
//     one saw, too.
//   - P6 Every call returns in bounded time: its context's deadline, or else registry.Timeout; and calls that one
//     silent member could hold up are done by another within 2 s. A repeated Register of what etcd has taken returns
//     nil at once, connected or not: [Registry.Status] and the log tell the rest. [Registry.Close] stops every
//     goroutine, lease and watch that the registry started, and leaves nothing in etcd that could have been removed.
//     [New], [Registry.Init] and Close wait for a metrics collection that is under way, and Close waits within the
//     timeout for registry.Logger to return, and a second at most for the disk of a CacheDir.
//   - P7 Bad input gets an error that names it, and bad data never hurts a neighbor: a malformed record in etcd is
//     skipped, counted and logged once.
//
// # Not promised
//
//   - Fencing or mutual exclusion. When two processes use one node id, the one that registered last has it; the other
//     one stands by and takes over when it goes.
//   - Linearizable lookups, unless asked for with [Linearizable]: a view lags behind etcd by the time that an event
//     travels.
//   - Telling a hung process from a healthy one without a [HealthCheck]: what is registered is renewed as long as the
//     process runs.
//
// # Environment
//
// MICRO_REGISTRY_ADDRESS (a list with commas), ETCD_USERNAME with ETCD_PASSWORD, ETCD_CACERT, ETCD_CERT and ETCD_KEY,
// and MICRO_REGISTRY_CACHE_DIR stand in for options that aren't given. They are read once, by New.
//
// # Metrics
//
// What a registry does is told to OpenTelemetry's global MeterProvider, or to that of [MeterProvider]. docs/metrics.md
// lists the metrics and what to alert on.
//
// # Addresses
//
// registry.Addrs takes host, host:port, http://, https://, unix:// and unixs:// addresses, IPv6 with and without
// brackets, and lists with commas. The port defaults to 2379, the host in :port to localhost, the list to
// 127.0.0.1:2379. An https:// or unixs:// address turns TLS on for the list; one that mixes http and https is an error.
// A unix:// address is plain, whatever ETCD_CACERT says, unless an option or another address asks for TLS.
package etcd
