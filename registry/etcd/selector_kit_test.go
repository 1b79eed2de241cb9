package etcd

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
	"github.com/micro-etcd/micro-etcd/internal/view"
)

// staged is a registry with a view of one service that the test plays etcd for.
type staged struct {
	t        testing.TB
	registry *Registry
	view     *view.View
	service  string
	revision int64
}

func stage(tb testing.TB, service string) *staged {
	tb.Helper()
	return stageIn(tb, service, func(k catalog.Keyspace) string { return k.Dir(service) })
}

func stageIn(tb testing.TB, service string, prefix func(catalog.Keyspace) string) *staged {
	tb.Helper()
	for _, name := range []string{
		"MICRO_REGISTRY_ADDRESS", "ETCD_USERNAME", "ETCD_PASSWORD", "ETCD_CACERT", "ETCD_CERT", "ETCD_KEY",
	} {
		tb.Setenv(name, "")
	}
	r, err := New(registry.Addrs("unix:///nobody.sock"), registry.Logger(&recorder{}))
	require.NoError(tb, err)
	r.started.Do(func() {}) // no probe
	ms := r.components.Load().views
	f := &staged{t: tb, registry: r, service: service, revision: 10}
	f.view = ms.Detached(prefix(f.keys()))
	f.list()
	tb.Cleanup(func() { require.NoError(tb, r.Close()) })
	return f
}

// list gives the view an empty list.
func (f *staged) list() {
	f.view.Listing(nil)
	f.view.Replace(&reflector.List{Header: &etcdserverpb.ResponseHeader{ClusterId: 1, Revision: f.revision}})
}

func (f *staged) put(version string, nodes ...*registry.Node) {
	f.t.Helper()
	f.apply(clientv3.EventTypePut, version, nodes...)
}

func (f *staged) del(nodes ...*registry.Node) {
	f.t.Helper()
	f.apply(clientv3.EventTypeDelete, "", nodes...)
}

func (f *staged) apply(kind mvccpb.Event_EventType, version string, nodes ...*registry.Node) {
	f.t.Helper()
	var events []*clientv3.Event
	for _, n := range nodes {
		f.revision++
		value, err := json.Marshal(&registry.Service{
			Name: f.service, Version: version, Nodes: []*registry.Node{n},
			Metadata: map[string]string{"team": "blue"},
			Endpoints: []*registry.Endpoint{{
				Name: "Greeter.V" + version, Request: &registry.Value{Name: "Request"}, Response: &registry.Value{Name: "Response"},
			}},
		})
		require.NoError(f.t, err)
		key := []byte(f.key(n))
		events = append(events, &clientv3.Event{Type: kind, Kv: &mvccpb.KeyValue{
			Key: key, Value: value, ModRevision: f.revision, CreateRevision: f.revision,
		}})
	}
	f.view.Apply(events)
}

func (f *staged) keys() catalog.Keyspace { return f.registry.components.Load().config.keys }

func (f *staged) key(n *registry.Node) string { return f.keys().Dir(f.service) + n.Id }

// selector returns a selector on the registry.
func (f *staged) selector(opts ...selector.Option) *nodeSelector {
	s := NewSelector(append([]selector.Option{selector.Registry(f.registry)}, opts...)...).(*nodeSelector)
	f.t.Cleanup(func() { require.NoError(f.t, s.Close()) })
	return s
}

// some returns n nodes whose metadata is as long as that of go-micro's server.
func some(n int) []*registry.Node {
	nodes := make([]*registry.Node, n)
	for i := range nodes {
		nodes[i] = &registry.Node{
			Id: fmt.Sprintf("n%04d", i), Address: fmt.Sprintf("10.0.%d.%d:8080", i/256, i%256),
			Metadata: map[string]string{
				"broker": "http", "protocol": "mucp", "registry": "etcd", "server": "mucp", "transport": "http",
				"parity": []string{"even", "odd"}[i%2],
			},
		}
	}
	return nodes
}

func ids(nodes []*registry.Node) []string {
	ids := make([]string, len(nodes))
	for i, n := range nodes {
		ids[i] = n.Id
	}
	return ids
}

// pick selects once.
func pick(tb testing.TB, s selector.Selector, service string, opts ...selector.SelectOption) *registry.Node {
	tb.Helper()
	next, err := s.Select(service, opts...)
	require.NoError(tb, err)
	node, err := next()
	require.NoError(tb, err)
	return node
}

// tally selects many times and counts by node id.
func tally(
	tb testing.TB, times int, s selector.Selector, service string, opts ...selector.SelectOption,
) map[string]int {
	tb.Helper()
	picked := make(map[string]int)
	for range times {
		picked[pick(tb, s, service, opts...).Id]++
	}
	return picked
}

// chosen returns the ids that come up when selecting often.
func chosen(tb testing.TB, s selector.Selector, service string, opts ...selector.SelectOption) []string {
	tb.Helper()
	var names []string
	for id := range tally(tb, 400, s, service, opts...) {
		names = append(names, id)
	}
	slices.Sort(names)
	return names
}
