// Package health has the health checks that a registry runs for the nodes that it registers.
//
// A registration only says that its process is running. A check finds out whether the node also serves. It runs in the
// node's own process, and dials the address that the node is registered with, so it takes the path that a caller on the
// same host would take: through the listener, not around it.
//
//	health.TCP()             // something accepts connections
//	health.HTTP("/healthz")  // the status is 2xx or 3xx
//	health.GRPC("")          // grpc.health.v1 says SERVING
//	health.Micro(nil)        // Go Micro's Debug.Health says ok
//	health.Func("disk", f)   // f returns nil
//
// A [Check] is a value. Set its fields to change how often it runs and how many failures it tolerates:
//
//	web := health.HTTP("/healthz")
//	web.Interval = 10 * time.Second
//
// # What to check
//
// Check what belongs to this node alone: its listener, its worker pool, its disk. Don't check a database or another
// service that all nodes share. When that fails, every node fails its check at the same moment, and taking all of them
// out of service turns a degraded service into an outage.
//
// # What a check can't tell
//
//   - Whether callers on other hosts can reach the node. A firewall between them goes unnoticed.
//   - Whether an address that it can't dial is wrong. Behind NAT, a node may not be able to dial its own advertised
//     address, so such a check never passes. A check that has never passed is more likely wrong than right, and never
//     takes the node out of service.
//
// The checks speak plain text, except that [HTTP] uses TLS for nodes whose address begins with https://, and [Micro]
// whatever its client uses. For anything else, write a [Func].
package health
