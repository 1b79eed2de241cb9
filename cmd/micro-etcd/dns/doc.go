// Package dns answers DNS queries for what is registered: an authoritative server over UDP and TCP, for those who don't
// use go-micro's registry.
//
//	server.go   sockets, who is answered, and bounds
//	query.go    whether a message is a query for the zone at all
//	answer.go   the answer, a function of the query, the zone and the configuration
//	lookup.go   what a name below the domain stands for
//	zone.go     what is registered, by name, and how current that is
//	service.go  what of a service's nodes DNS can tell
//	name.go     how names are compared
//	conflict.go which services DNS cannot tell apart, or name
//	follow.go   how the zone follows etcd, and starts while etcd is away
package dns
