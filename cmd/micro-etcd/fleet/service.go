package fleet

import (
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// Service is a service as consumers see it.
type Service struct {
	Name     string
	Versions []Version // sorted by version
}

// Version is one version of a service, as consumers see it.
type Version struct {
	Version string
	Profile *catalog.Profile // what the record says that was written last
	Nodes   []*Record        // sorted by node id
}

// Nodes returns those of services that are in service.
func Nodes(services ...Service) []*Record {
	var nodes []*Record
	for _, s := range services {
		for _, v := range s.Versions {
			nodes = append(nodes, v.Nodes...)
		}
	}
	return nodes
}

// Services folds the records as every registry does: of several records of one node of a service only the one written
// last counts, and malformed ones don't. They are sorted by name.
func (f *Fleet) Services() []Service {
	folded := catalog.New()
	records := make(map[string]*Record, len(f.Records)) // by key
	for _, r := range f.Records {
		if r.Service != nil && !r.IsNotice() {
			folded.Put(r.CatalogRecord())
			records[r.Key] = r
		}
	}
	var services []Service
	for _, snapshot := range folded.Snapshots() {
		s := Service{Name: snapshot.Name}
		for _, v := range snapshot.Versions {
			version := Version{Version: v.Version, Profile: v.Profile}
			for _, n := range v.Nodes {
				counts, _ := folded.Node(s.Name, n.Id)
				version.Nodes = append(version.Nodes, records[counts.Record.Key])
			}
			s.Versions = append(s.Versions, version)
		}
		services = append(services, s)
	}
	return services
}

// OutOfService returns the notices of the nodes that are out of service, as they are sorted in Records. A node that has
// its record is in service, whatever notice there is.
func (f *Fleet) OutOfService() []*Record {
	in := make(map[string]bool, len(f.Records))
	for _, r := range f.Records {
		if r.Service != nil && !r.IsNotice() {
			in[nodeName(r)] = true
		}
	}
	var out []*Record
	for _, r := range f.Records {
		if r.IsNotice() && !in[nodeName(r)] {
			out = append(out, r)
		}
	}
	return out
}

// nodeName names a node of a service among all.
func nodeName(r *Record) string { return r.Service.Name + "\x00" + r.Node().Id }

// CatalogRecord returns a record that isn't malformed as a catalog takes it, with which it shares what it points to.
func (r *Record) CatalogRecord() *catalog.Record {
	c := r.Service.Record(r.Key, 0)
	c.Revision = r.Modified
	return c
}
