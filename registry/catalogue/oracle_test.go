package catalogue_test

import (
	"maps"
	"slices"
	"strings"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// oracle is the plainest catalogue: all records, folded from scratch at each question.
type oracle map[string]*catalogue.Record

// winners are the records that count, by name and then node id.
type winners map[string]map[string]*catalogue.Record

func (o oracle) winners() winners {
	winners := make(winners)
	for _, key := range slices.Sorted(maps.Keys(o)) {
		r := o[key]
		if winners[r.Name] == nil {
			winners[r.Name] = make(map[string]*catalogue.Record)
		}
		w := winners[r.Name][r.Node.Id]
		if w == nil || ownKey(r) && !ownKey(w) || ownKey(r) == ownKey(w) && r.Revision >= w.Revision {
			winners[r.Name][r.Node.Id] = r
		}
	}
	return winners
}

// ownKey reports whether a record is at its node's key.
func ownKey(r *catalogue.Record) bool { return strings.HasSuffix(r.Key, "/"+r.Name+"/"+r.Node.Id) }

// services describes each service version, in order.
func (o oracle) services() []string {
	var lines []string
	for _, nodes := range o.winners() {
		versions := make(map[string]*registry.Service)
		lead := make(map[string]*catalogue.Record)
		for _, r := range nodes {
			if versions[r.Version] == nil {
				versions[r.Version] = &registry.Service{Name: r.Name, Version: r.Version}
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

// cache folds results as go-micro's registry cache does. Nodes are known by version and
// id; what comes replaces its version's fields and adds its node.
type cache map[string]*registry.Service // by name@version

func newCache(snapshots []*catalogue.Snapshot) cache {
	c := make(cache)
	for _, snapshot := range snapshots {
		for _, s := range snapshot.Services() {
			c[s.Name+"@"+s.Version] = s
		}
	}
	return c
}

func (c cache) fold(r *registry.Result) {
	key, node := r.Service.Name+"@"+r.Service.Version, r.Service.Nodes[0]
	var others []*registry.Node
	if known := c[key]; known != nil {
		for _, n := range known.Nodes {
			if n.Id != node.Id {
				others = append(others, n)
			}
		}
	}
	switch {
	case r.Action != "delete":
		r.Service.Nodes = append(r.Service.Nodes, others...)
		c[key] = r.Service
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
