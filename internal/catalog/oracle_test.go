package catalog_test

import (
	"maps"
	"slices"
	"strings"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// oracle is the plainest catalog: all records, folded from scratch at each question.
type oracle map[string]*catalog.Record

// winners are the records that count, by name and then node id.
type winners map[string]map[string]*catalog.Record

func (o oracle) winners() winners {
	winners := make(winners)
	for _, key := range slices.Sorted(maps.Keys(o)) {
		r := o[key]
		if winners[r.Name] == nil {
			winners[r.Name] = make(map[string]*catalog.Record)
		}
		w := winners[r.Name][r.Node.Id]
		if w == nil || ownKey(r) && !ownKey(w) || ownKey(r) == ownKey(w) && r.Revision >= w.Revision {
			winners[r.Name][r.Node.Id] = r
		}
	}
	return winners
}

// ownKey reports whether a record is at its node's key.
func ownKey(r *catalog.Record) bool { return strings.HasSuffix(r.Key, "/"+r.Name+"/"+r.Node.Id) }

// services describes each service version, in order.
func (o oracle) services() []string {
	var lines []string
	for _, nodes := range o.winners() {
		versions := make(map[string]*catalog.Service)
		lead := make(map[string]*catalog.Record)
		for _, r := range nodes {
			if versions[r.Version] == nil {
				versions[r.Version] = &catalog.Service{Name: r.Name, Version: r.Version}
			}
			s, l := versions[r.Version], lead[r.Version]
			s.Nodes = append(s.Nodes, r.Node)
			if l == nil || r.Revision > l.Revision || r.Revision == l.Revision && r.Key > l.Key {
				lead[r.Version] = r
				s.Metadata, s.Endpoints = r.Profile.Metadata, r.Profile.Endpoints
			}
		}
		for _, s := range versions {
			lines = append(lines, sortedNodes(s))
		}
	}
	slices.Sort(lines)
	return lines
}

// cache folds changes as go-micro's registry cache does. Nodes are known by version and id; what comes replaces its
// version's fields and adds its node.
type cache map[string]*catalog.Service // by name@version

func newCache(snapshots []*catalog.Snapshot) cache {
	c := make(cache)
	for _, snapshot := range snapshots {
		for _, s := range services(snapshot) {
			c[s.Name+"@"+s.Version] = s
		}
	}
	return c
}

func (c cache) fold(change catalog.Change) {
	s, node := told(change), change.Record.Node
	key := s.Name + "@" + s.Version
	var others []*catalog.Node
	if known := c[key]; known != nil {
		for _, n := range known.Nodes {
			if n.Id != node.Id {
				others = append(others, n)
			}
		}
	}
	switch {
	case change.Action != catalog.Delete:
		s.Nodes = append(s.Nodes, others...)
		c[key] = s
	case len(others) > 0:
		c[key].Nodes = others
	default:
		delete(c, key)
	}
}

func (c cache) services() []string {
	var lines []string
	for _, s := range c {
		lines = append(lines, sortedNodes(s))
	}
	slices.Sort(lines)
	return lines
}

// twice returns a node that is in two versions of a service at once, or "".
func (c cache) twice() string {
	seen := make(map[[2]string]bool)
	for _, s := range c {
		for _, n := range s.Nodes {
			id := [2]string{s.Name, n.Id}
			if seen[id] {
				return strings.Join(id[:], " ")
			}
			seen[id] = true
		}
	}
	return ""
}
