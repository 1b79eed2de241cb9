// Package federation makes one registry of those of several data centers, of etcd or of any kind:
//
//	home, err := etcd.New(registry.Addrs("10.1.0.1"))
//	...
//	us1, err := etcd.New(registry.Addrs("10.9.0.1"))
//	...
//	r, err := federation.New(federation.Local("eu1", home), federation.Remote("us1", us1))
//	...
//	service := micro.NewService(
//		micro.Registry(r),
//		micro.Selector(etcd.NewSelector(selector.Registry(r))),
//	)
//
// A process registers in its own data center only, and nothing is ever copied. A lookup returns the nodes of one data
// center: the local one's, or while that has too few those of the first remote one that has any. docs/datacenters.md
// says when to use it, and what happens when.
//
// # Promises
//
//   - Being cut off isn't being empty: as long as a service is followed, no lookup changes because a registry can't be
//     asked. What it said last counts.
//   - A remote registry is a soft dependency, at start too: it holds up no call that another one can answer.
//   - A watcher tells how what GetService returns changes, new nodes before the old ones go.
//   - Where a node is, is known from where it was read.
package federation
