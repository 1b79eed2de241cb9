package federation

import (
	"cmp"
	"slices"
	"time"
)

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
	// Unasked are why data centers couldn't be asked when that was last tried. They count with Nodes.
	Unasked map[string]error
	// Back is when a data center that is preferred will serve it again, if that still has enough nodes then. It is zero
	// if none has.
	Back time.Time
}

// Status returns the present state. It asks nobody.
func (r *Registry) Status() Status {
	var s Status
	for i, d := range r.datacenters {
		s.Datacenters = append(s.Datacenters, DatacenterStatus{Name: d.name, Local: i == 0, Err: d.ready()})
	}
	for _, rt := range r.followed() {
		service, serving := rt.status()
		s.Services = append(s.Services, service)
		if serving != nobody {
			s.Datacenters[serving].Serving++
		}
		for i := range s.Datacenters {
			d := &s.Datacenters[i]
			d.Err = cmp.Or(d.Err, service.Unasked[d.Name])
		}
	}
	slices.SortFunc(s.Services, func(a, b ServiceStatus) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

func (rt *route) status() (s ServiceStatus, serving int) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	s = ServiceStatus{
		Name: rt.name, Since: rt.since, Back: rt.back, Nodes: make(map[string]int), Unasked: make(map[string]error),
	}
	for i := range rt.answers {
		name := rt.registry.datacenters[i].name
		if rt.answers[i].known {
			s.Nodes[name] = len(rt.answers[i].records)
		}
		if err := rt.answers[i].err; err != nil {
			s.Unasked[name] = err
		}
	}
	if rt.serving != nobody {
		s.Datacenter = rt.registry.datacenters[rt.serving].name
	}
	return s, rt.serving
}

// ready returns what the registry's method Ready does, if it has one.
func (d *datacenter) ready() error {
	if r, ok := d.registry.(interface{ Ready() error }); ok {
		return r.Ready()
	}
	return nil
}
