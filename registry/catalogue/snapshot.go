package catalogue

import (
	"cmp"
	"maps"
	"slices"

	"go-micro.dev/v4/registry"
)

// Snapshot is one service at one moment. It is immutable.
type Snapshot struct {
	// Name is the service's.
	Name string
	// Versions are sorted by version.
	Versions []Version
}

// Version is one version of a service within a [Snapshot]. It is immutable.
type Version struct {
	Version string
	Profile *Profile
	// Nodes are sorted by id. They are shared between snapshots: read them, don't change them.
	Nodes []*registry.Node
}

// Services returns one service per version. The result belongs to the caller, down to its
// maps. It is nil for a service without nodes.
func (s *Snapshot) Services() []*registry.Service {
	if s == nil || len(s.Versions) == 0 {
		return nil
	}
	services := make([]*registry.Service, len(s.Versions))
	for i, v := range s.Versions {
		services[i] = v.Profile.service(s.Name, v.Version, copyNodes(v.Nodes))
	}
	return services
}

// copyNodes copies into one slab, because a big service is copied at every look-up.
func copyNodes(nodes []*registry.Node) []*registry.Node {
	slab := make([]registry.Node, len(nodes))
	copies := make([]*registry.Node, len(nodes))
	for i, n := range nodes {
		slab[i] = registry.Node{Id: n.Id, Address: n.Address, Metadata: maps.Clone(n.Metadata)}
		copies[i] = &slab[i]
	}
	return copies
}

func (s *service) takeSnapshot(name string) *Snapshot {
	snapshot := &Snapshot{Name: name, Versions: make([]Version, 0, len(s.versions))}
	index := make(map[string]int, len(s.versions))
	for _, version := range slices.Sorted(maps.Keys(s.versions)) {
		index[version] = len(snapshot.Versions)
		snapshot.Versions = append(snapshot.Versions, Version{
			Version: version,
			Profile: s.profile(version),
			Nodes:   make([]*registry.Node, 0, s.versions[version].nodes()),
		})
	}
	for _, r := range s.nodes {
		v := &snapshot.Versions[index[r.Version]]
		v.Nodes = append(v.Nodes, r.Node)
	}
	for _, v := range snapshot.Versions {
		slices.SortFunc(v.Nodes, func(a, b *registry.Node) int { return cmp.Compare(a.Id, b.Id) })
	}
	return snapshot
}
