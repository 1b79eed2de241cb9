package federation

import (
	"context"
	"errors"
	"fmt"
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
func (d *datacenter) services(
	ctx context.Context, name string, opts []registry.GetOption,
) ([]*registry.Service, error) {
	services, err := d.registry.GetService(name, append(slices.Clip(opts), registry.GetContext(ctx))...)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	services = slices.DeleteFunc(d.labeled(services), func(s *registry.Service) bool { return s.Name != name })
	return services, err
}

// list asks the registry for all services.
func (d *datacenter) list(ctx context.Context, opts []registry.ListOption) ([]*registry.Service, error) {
	services, err := d.registry.ListServices(append(slices.Clip(opts), registry.ListContext(ctx))...)
	return d.labeled(services), err
}

// labeled copies services and their nodes, and notes in those where they are. What is nil is left out.
func (d *datacenter) labeled(services []*registry.Service) []*registry.Service {
	all := make([]*registry.Service, 0, len(services))
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
			all = append(all, &with)
		}
	}
	return all
}

// wrap says which data center couldn't be asked, and why.
func (d *datacenter) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("data center %s couldn't be asked: %w", d.name, err)
}

// join is errors.Join on one line.
func join(errs []error) (all error) {
	for _, err := range errs {
		switch {
		case err == nil:
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}

// ready returns what the registry's method Ready does, if it has one.
func (d *datacenter) ready() error {
	if r, ok := d.registry.(interface{ Ready() error }); ok {
		return r.Ready()
	}
	return nil
}

// recordsOf returns the nodes of services as records, whose keys are the nodes' ids. Of an id that a service has in
// several versions, as Go Micro's memory registry does, the last version counts.
func recordsOf(services []*registry.Service) []*catalog.Record {
	known := make(map[[2]string]int)
	var records []*catalog.Record
	for _, s := range services {
		version := gomicro.FromService(&registry.Service{
			Name: s.Name, Version: s.Version, Metadata: s.Metadata, Endpoints: s.Endpoints,
		})
		profile := &catalog.Profile{Metadata: version.Metadata, Endpoints: version.Endpoints}
		for _, n := range s.Nodes {
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
