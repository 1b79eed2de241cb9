package catalog_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// rec makes a record from "name@version" and "id=address".
func rec(key string, revision int64, service, node string, p *catalog.Profile) *catalog.Record {
	name, version, _ := strings.Cut(service, "@")
	id, address, _ := strings.Cut(node, "=")
	return &catalog.Record{
		Key: key, Revision: revision, Name: name, Version: version, Profile: p,
		Node: &catalog.Node{Id: id, Address: address, Metadata: map[string]string{"address": address}},
	}
}

// profile makes a profile that shows its color in metadata and endpoints. Two of one color are equal, but not the same.
func profile(color string) *catalog.Profile {
	return &catalog.Profile{
		Metadata: map[string]string{"color": color},
		Endpoints: []*catalog.Endpoint{{
			Name:     color,
			Request:  &catalog.Value{Name: "Request", Type: color, Values: []*catalog.Value{{Name: "field", Type: "string"}}},
			Response: &catalog.Value{Name: "Response", Type: color},
			Metadata: map[string]string{"endpoint": color},
		}},
	}
}

// step is a call on a catalog and the changes that it should return.
type step struct {
	call string
	do   func(*catalog.Catalog) []catalog.Change
	want []string
}

func put(r *catalog.Record, want ...string) step {
	return step{"put " + r.Key, func(c *catalog.Catalog) []catalog.Change { return c.Put(r) }, want}
}

func restate(r *catalog.Record, want ...string) step {
	return step{"restate " + r.Key, func(c *catalog.Catalog) []catalog.Change { return c.Restate(r) }, want}
}

func del(key string, want ...string) step {
	return step{"delete " + key, func(c *catalog.Catalog) []catalog.Change { return c.Delete(key) }, want}
}

// run takes the steps on a new catalog and compares what each returns, then what services there are.
func run(t *testing.T, steps []step, services ...string) *catalog.Catalog {
	t.Helper()
	c := catalog.New()
	for i, s := range steps {
		require.Equal(t, s.want, changeStrings(s.do(c)), "step %d: %s", i, s.call)
	}
	require.Equal(t, services, snapshotStrings(c))
	return c
}

func changeStrings(changes []catalog.Change) []string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, changeString(c))
	}
	return lines
}

func changeString(c catalog.Change) string { return string(c.Action) + " " + serviceString(told(c)) }

// told is the service that a change tells of.
func told(c catalog.Change) *catalog.Service {
	s := c.Record.Service()
	s.Metadata, s.Endpoints = c.Profile.Metadata, c.Profile.Endpoints
	return s
}

// services returns the versions of a service.
func services(s *catalog.Snapshot) []*catalog.Service {
	if s == nil {
		return nil
	}
	var all []*catalog.Service
	for _, v := range s.Versions {
		all = append(all, &catalog.Service{
			Name: s.Name, Version: v.Version, Metadata: v.Profile.Metadata, Endpoints: v.Profile.Endpoints,
			Nodes: slices.Clone(v.Nodes),
		})
	}
	return all
}

func snapshotStrings(c *catalog.Catalog) []string {
	var lines []string
	for _, s := range c.Snapshots() {
		for _, service := range services(s) {
			lines = append(lines, serviceString(service))
		}
	}
	return lines
}

// serviceString says all of a service: "name@version color: id=address, ...". Fields that don't agree with the color or
// the address are spelled out.
func serviceString(s *catalog.Service) string {
	nodes := make([]string, len(s.Nodes))
	for i, n := range s.Nodes {
		nodes[i] = n.Id + "=" + n.Address
		if len(n.Metadata) != 1 || n.Metadata["address"] != n.Address {
			nodes[i] += fmt.Sprint(n.Metadata)
		}
	}
	p := &catalog.Profile{Metadata: s.Metadata, Endpoints: s.Endpoints}
	color := s.Metadata["color"]
	if !p.Equal(profile(color)) {
		color += fmt.Sprintf("%v%v", p.Metadata, p.Endpoints)
	}
	return s.Name + "@" + s.Version + " " + color + ": " + strings.Join(nodes, ", ")
}

// sortedNodes is serviceString for services whose nodes have no order.
func sortedNodes(s *catalog.Service) string {
	s.Nodes = slices.SortedFunc(slices.Values(s.Nodes), func(a, b *catalog.Node) int {
		return strings.Compare(a.Id, b.Id)
	})
	return serviceString(s)
}
