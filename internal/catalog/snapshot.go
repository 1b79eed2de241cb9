package catalog

import (
	"cmp"
	"maps"
	"slices"
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
	Nodes []*Node
}

func (s *service) takeSnapshot(name string) *Snapshot {
	snapshot := &Snapshot{Name: name, Versions: make([]Version, 0, len(s.versions))}
	index := make(map[string]int, len(s.versions))
	for _, version := range slices.Sorted(maps.Keys(s.versions)) {
		index[version] = len(snapshot.Versions)
		snapshot.Versions = append(snapshot.Versions, Version{
			Version: version,
			Profile: s.profile(version),
			Nodes:   make([]*Node, 0, s.versions[version].nodes()),
		})
	}
	for _, r := range s.nodes {
		v := &snapshot.Versions[index[r.Version]]
		v.Nodes = append(v.Nodes, r.Node)
	}
	for _, v := range snapshot.Versions {
		slices.SortFunc(v.Nodes, byID)
	}
	return snapshot
}

// Nodes returns the nodes of all versions, in the order of [Snapshot.Versions]. The nodes and the slice are shared:
// read them, don't change them. A nil Snapshot has none.
func (s *Snapshot) Nodes() []*Node {
	switch {
	case s == nil:
		return nil
	case len(s.Versions) == 1:
		return s.Versions[0].Nodes
	}
	var nodes []*Node
	for _, v := range s.Versions {
		nodes = append(nodes, v.Nodes...)
	}
	return nodes
}

// With returns the service with further records in it. Those whose node ids it has already, in whichever version, are
// left out. The records are of one service, and s may be nil.
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

func byID(a, b *Node) int { return cmp.Compare(a.Id, b.Id) }
