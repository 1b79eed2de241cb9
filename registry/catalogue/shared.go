package catalogue

import (
	"cmp"
	"slices"

	"go-micro.dev/v4/registry"
)

// This file is for readers that can't pay for copies, and therefore must not change what they read.

// Nodes returns the nodes of all versions, in the order of [Snapshot.Versions]. The nodes and the
// slice are shared: read them, don't change them. A nil Snapshot has none.
func (s *Snapshot) Nodes() []*registry.Node {
	switch {
	case s == nil:
		return nil
	case len(s.Versions) == 1:
		return s.Versions[0].Nodes
	}
	var nodes []*registry.Node
	for _, v := range s.Versions {
		nodes = append(nodes, v.Nodes...)
	}
	return nodes
}

// Shared is Services without copying everything: only the services belong to the caller. What they
// hold is shared: read it, don't change it.
func (s *Snapshot) Shared() []*registry.Service {
	if s == nil {
		return nil
	}
	services := make([]*registry.Service, len(s.Versions))
	for i, v := range s.Versions {
		services[i] = &registry.Service{
			Name:      s.Name,
			Version:   v.Version,
			Metadata:  v.Profile.Metadata,
			Endpoints: v.Profile.Endpoints,
			Nodes:     v.Nodes,
		}
	}
	return services
}

// With returns the service with further records in it. Those whose node ids it has already, in
// whichever version, are left out. The records are of one service, and s may be nil.
func (s *Snapshot) With(records []*Record) *Snapshot {
	known := make(map[string]bool)
	for _, n := range s.Nodes() {
		known[n.Id] = true
	}
	records = slices.DeleteFunc(slices.Clone(records), func(r *Record) bool { return known[r.Node.Id] })
	if len(records) == 0 {
		return s
	}
	more := &Snapshot{Name: records[0].Name}
	if s != nil {
		more.Versions = slices.Clone(s.Versions)
	}
	for i, v := range more.Versions {
		more.Versions[i].Nodes = slices.Clone(v.Nodes)
	}
	for _, r := range records {
		v := more.version(r)
		v.Nodes = append(v.Nodes, r.Node)
	}
	for _, v := range more.Versions {
		slices.SortFunc(v.Nodes, byID)
	}
	return more
}

// version returns the record's version, which is added if it isn't there.
func (s *Snapshot) version(r *Record) *Version {
	i, found := slices.BinarySearchFunc(s.Versions, r.Version, func(v Version, version string) int {
		return cmp.Compare(v.Version, version)
	})
	if !found {
		s.Versions = slices.Insert(s.Versions, i, Version{Version: r.Version, Profile: r.Profile})
	}
	return &s.Versions[i]
}

func byID(a, b *registry.Node) int { return cmp.Compare(a.Id, b.Id) }
