package catalogue_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// rec makes a record from "name@version" and "id=address".
func rec(key string, revision int64, service, node string, p *catalogue.Profile) *catalogue.Record {
	name, version, _ := strings.Cut(service, "@")
	id, address, _ := strings.Cut(node, "=")
	return &catalogue.Record{
		Key: key, Revision: revision, Name: name, Version: version, Profile: p,
		Node: &registry.Node{Id: id, Address: address, Metadata: map[string]string{"address": address}},
	}
}

// profile makes a profile that shows its colour in metadata and endpoints. Two of one
// colour are equal, but not the same.
func profile(colour string) *catalogue.Profile {
	return &catalogue.Profile{
		Metadata: map[string]string{"colour": colour},
		Endpoints: []*registry.Endpoint{{
			Name:     colour,
			Request:  &registry.Value{Name: "Request", Type: colour, Values: []*registry.Value{{Name: "field", Type: "string"}}},
			Response: &registry.Value{Name: "Response", Type: colour},
			Metadata: map[string]string{"endpoint": colour},
		}},
	}
}

// step is a call on a catalogue and the changes that it should return.
type step struct {
	call string
	do   func(*catalogue.Catalogue) []catalogue.Change
	want []string
}

func put(r *catalogue.Record, want ...string) step {
	return step{"put " + r.Key, func(c *catalogue.Catalogue) []catalogue.Change { return c.Put(r) }, want}
}

func restate(r *catalogue.Record, want ...string) step {
	return step{"restate " + r.Key, func(c *catalogue.Catalogue) []catalogue.Change { return c.Restate(r) }, want}
}

func del(key string, want ...string) step {
	return step{"delete " + key, func(c *catalogue.Catalogue) []catalogue.Change { return c.Delete(key) }, want}
}

// run takes the steps on a new catalogue and compares what each returns, then what
// services there are.
func run(t *testing.T, steps []step, services ...string) *catalogue.Catalogue {
	t.Helper()
	c := catalogue.New()
	for i, s := range steps {
		require.Equal(t, s.want, changeStrings(s.do(c)), "step %d: %s", i, s.call)
	}
	require.Equal(t, services, snapshotStrings(c))
	return c
}

func changeStrings(changes []catalogue.Change) []string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, resultString(c.Result()))
	}
	return lines
}

func resultString(r *registry.Result) string { return r.Action + " " + serviceString(r.Service) }

func snapshotStrings(c *catalogue.Catalogue) []string {
	var lines []string
	for _, s := range c.Snapshots() {
		for _, service := range s.Services() {
			lines = append(lines, serviceString(service))
		}
	}
	return lines
}

// serviceString says all of a service: "name@version colour: id=address, ...". Fields that
// don't agree with the colour or the address are spelled out.
func serviceString(s *registry.Service) string {
	nodes := make([]string, len(s.Nodes))
	for i, n := range s.Nodes {
		nodes[i] = n.Id + "=" + n.Address
		if len(n.Metadata) != 1 || n.Metadata["address"] != n.Address {
			nodes[i] += fmt.Sprint(n.Metadata)
		}
	}
	p := &catalogue.Profile{Metadata: s.Metadata, Endpoints: s.Endpoints}
	colour := s.Metadata["colour"]
	if !p.Equal(profile(colour)) {
		colour += fmt.Sprintf("%v%v", p.Metadata, p.Endpoints)
	}
	return s.Name + "@" + s.Version + " " + colour + ": " + strings.Join(nodes, ", ")
}

// sortedNodes is serviceString for services whose nodes have no order.
func sortedNodes(s *registry.Service) string {
	s.Nodes = slices.SortedFunc(slices.Values(s.Nodes), func(a, b *registry.Node) int {
		return strings.Compare(a.Id, b.Id)
	})
	return serviceString(s)
}
