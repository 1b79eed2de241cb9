package federation

import "time"

// Status is a federation's state at a moment.
type Status struct {
	// Datacenters are in the order of preference, the local one first.
	Datacenters []DatacenterStatus
	// Services are those that are followed, sorted by name.
	Services []ServiceStatus
}

// DatacenterStatus is one data center.
type DatacenterStatus struct {
	Name  string
	Local bool
	// Serving is how many services it serves.
	Serving int
	// Err is what its registry's method Ready returns, if it has one; else why one of its services couldn't be read
	// last. It is nil if all is well.
	Err error
}

// ServiceStatus is one service that is followed.
type ServiceStatus struct {
	Name string
	// Datacenter serves it, since a time; "" if none does.
	Datacenter string
	Since      time.Time
	// Nodes are how many nodes it has, by data center, as far as those were asked and have answered. That is why
	// Datacenter serves it.
	Nodes map[string]int
	// Errs are why data centers couldn't be asked when that was last tried. They count with Nodes, if they are there.
	Errs map[string]error
	// Back is when a data center that is preferred will serve it again, if that still has enough nodes then. It is zero
	// if none has.
	Back time.Time
}
