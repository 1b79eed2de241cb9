package federation

import (
	"errors"
	"maps"
	"slices"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
)

// DatacenterKey is the key in the metadata of the nodes that a federation returns, of the data center they are in.
// It is where they were read: what the record itself has there doesn't count.
const DatacenterKey = "dc"

// datacenter is one of a federation's.
type datacenter struct {
	name     string
	registry registry.Registry
}

// services asks the registry for a service. One without nodes isn't found, and what has another name isn't it.
func (d *datacenter) services(name string, opts []registry.GetOption) ([]*registry.Service, error) {
	services, err := d.registry.GetService(name, opts...)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	services = slices.DeleteFunc(d.label(services), func(s *registry.Service) bool { return s.Name != name })
	return services, err
}

// label copies services and their nodes, and notes in those where they are. What is nil is left out.
func (d *datacenter) label(services []*registry.Service) []*registry.Service {
	labeled := make([]*registry.Service, 0, len(services))
	for _, s := range services {
		if s == nil {
			continue
		}
		with := *s
		with.Nodes = make([]*registry.Node, 0, len(s.Nodes))
		for _, n := range s.Nodes {
			if n == nil {
				continue
			}
			metadata := make(map[string]string, len(n.Metadata)+1)
			maps.Copy(metadata, n.Metadata)
			metadata[DatacenterKey] = d.name
			with.Nodes = append(with.Nodes, &registry.Node{Id: n.Id, Address: n.Address, Metadata: metadata})
		}
		if len(with.Nodes) > 0 {
			labeled = append(labeled, &with)
		}
	}
	return labeled
}

// recordsOf returns the nodes of services as records, whose keys are the nodes' ids. Of an id that a service has in
// several versions, as Go Micro's memory registry does, the last version counts.
func recordsOf(services []*registry.Service) []*catalog.Record {
	var records []*catalog.Record
	known := make(map[[2]string]int)
	for _, s := range services {
		nodes := s.Nodes
		version := gomicro.FromService(&registry.Service{
			Name: s.Name, Version: s.Version, Metadata: s.Metadata, Endpoints: s.Endpoints,
		})
		profile := &catalog.Profile{Metadata: version.Metadata, Endpoints: version.Endpoints}
		for _, n := range nodes {
			record := &catalog.Record{
				Key: n.Id, Name: version.Name, Version: version.Version, Profile: profile, Node: (*catalog.Node)(n),
			}
			key := [2]string{record.Name, n.Id}
			i, twice := known[key]
			switch {
			case !twice:
				known[key] = len(records)
				records = append(records, record)
			case record.Version > records[i].Version:
				records[i] = record
			}
		}
	}
	return records
}
