package page

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

const prefix = etcd.DefaultPrefix

// record returns what etcd would have of a node.
func record(service, version, id string, metadata map[string]string) *fleet.Record {
	return &fleet.Record{
		Key: prefix + strings.ReplaceAll(service, "/", "-") + "/" + id, Lease: clientv3.LeaseID(7), Seen: time.Now(),
		Service: &catalog.Service{
			Name: service, Version: version, Nodes: []*catalog.Node{{Id: id, Address: "10.0.0.1:80", Metadata: metadata}},
		},
	}
}

func appeared(r *fleet.Record) fleet.Event { return fleet.Event{Kind: fleet.Appeared, Record: r} }
func gone(r *fleet.Record) fleet.Event     { return fleet.Event{Kind: fleet.Gone, Before: r} }

// mirror is a browser: what the page's script does with the messages.
type mirror struct {
	snapshots int
	services  map[string]summary
	events    []event
	health    health

	datacenter  string
	datacenters []datacenter
}

// apply takes in a server-sent event.
func (m *mirror) apply(t *testing.T, f frame) {
	t.Helper()
	head, data, found := strings.Cut(strings.TrimSuffix(string(f), "\n\n"), "\ndata: ")
	require.True(t, found, "%s", f)
	switch head {
	case "event: snapshot":
		var s snapshot
		require.NoError(t, json.Unmarshal([]byte(data), &s))
		m.snapshots++
		m.services, m.events, m.health = make(map[string]summary), nil, s.Health
		m.datacenter, m.datacenters = s.Datacenter, s.Datacenters
		m.add(s.Services, s.Events)
	case "event: delta":
		var d delta
		require.NoError(t, json.Unmarshal([]byte(data), &d))
		for _, name := range d.Gone {
			delete(m.services, name)
		}
		m.add(d.Services, d.Events)
		if d.Health != nil {
			m.health = *d.Health
		}
		if d.Datacenters != nil {
			m.datacenters = d.Datacenters
		}
	default:
		t.Fatalf("unknown event %q", head)
	}
}

func (m *mirror) add(services []summary, events []event) {
	for _, s := range services {
		s.History = nil
		m.services[s.Name] = s
	}
	for _, e := range events {
		if len(m.events) == 0 || e.Number > m.events[len(m.events)-1].Number {
			m.events = append(m.events, e)
		}
	}
}

// truth is what a browser that just came would know.
func truth(t *testing.T, h *hub) map[string]summary {
	t.Helper()
	f, err := encode("snapshot", h.view.snapshot())
	require.NoError(t, err)
	var m mirror
	m.apply(t, f)
	return m.services
}
