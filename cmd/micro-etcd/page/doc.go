// Package page is the web page of a registry: what is registered, since when and for how long, as it changes.
//
// It only reads. A server follows the registry's prefix in etcd once, however many browsers look at it, and folds what
// it sees into one summary per service:
//
//	etcd ──fleet.Follow──► view ──► hub ──► one stream of server-sent events per browser
//	                        │
//	                        └──► /api/service, /api/search: the details of what somebody opened or looks for
//
// A browser first gets a snapshot of all summaries, then four times a second what changed. One that reads too slowly
// gets a snapshot again instead of an ever longer queue. Each data center has all of that for itself.
//
// # Bounds
//
// Whatever somebody writes into etcd, text is clipped before it is sent, a list of nodes is sent a page at a time, and
// the history of a service holds [historySpan] in steps of [historyStep]: at most 122 points of 24 bytes. A service
// without nodes is remembered for as long, so that its plot goes on when it returns; at most [maxDeparted] are.
//
// # Trust
//
// There is no authentication: whoever reaches the address reads the registry. While bound to loopback, requests for
// other hosts' names are refused, so that no foreign site can make a browser read it (DNS rebinding). The page runs
// under a Content-Security-Policy that allows its own files only, and under Trusted Types without any policy, so that a
// browser refuses to turn text into markup even if the page's code tried to.
package page
