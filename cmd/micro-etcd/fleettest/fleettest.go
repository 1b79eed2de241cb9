// Package fleettest puts records and notices into a test's etcd, most of a service called greeter, and says what became
// of them.
package fleettest

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// Keyspace is where a registry has its records unless it is told otherwise.
var Keyspace = catalog.Keyspace{Prefix: etcd.DefaultPrefix}

// RecordKey is the key of the record of a node of greeter.
func RecordKey(id string) string { return Keyspace.Node("greeter", id) }

// NoticeKey is the key of the notice of a node of greeter.
func NoticeKey(id string) string { return Keyspace.Notice(RecordKey(id)) }

// Greeter is a version of greeter with nodes.
func Greeter(version string, ids ...string) *registry.Service {
	s := &registry.Service{
		Name: "greeter", Version: version, Metadata: map[string]string{"team": "blue"},
		Endpoints: []*registry.Endpoint{
			{Name: "Greeter.Hello", Request: &registry.Value{Type: "Request"}, Response: &registry.Value{Type: "Response"}},
		},
	}
	for _, id := range ids {
		s.Nodes = append(s.Nodes, &registry.Node{Id: id, Address: "10.0.0.1:" + id, Metadata: map[string]string{"zone": "a"}})
	}
	return s
}

// Stored is a record as a registry would write it.
func Stored(tb testing.TB, s *registry.Service) string {
	tb.Helper()
	b, err := json.Marshal(s)
	require.NoError(tb, err)
	return string(b)
}

// Put writes a value.
func Put(tb testing.TB, c *clientv3.Client, key, value string, opts ...clientv3.OpOption) {
	tb.Helper()
	_, err := c.Put(tb.Context(), key, value, opts...)
	require.NoError(tb, err)
}

// Get returns the value at a key, or "".
func Get(tb testing.TB, c *clientv3.Client, key string) string {
	tb.Helper()
	kv := At(tb, c, key)
	if kv == nil {
		return ""
	}
	return string(kv.Value)
}

// At returns what is at a key, or nil.
func At(tb testing.TB, c *clientv3.Client, key string) *mvccpb.KeyValue {
	tb.Helper()
	got, err := c.Get(tb.Context(), key)
	require.NoError(tb, err)
	if len(got.Kvs) == 0 {
		return nil
	}
	return got.Kvs[0]
}

// Lasting puts a record of each node on a lease of its own, as somebody's process that isn't there.
func Lasting(tb testing.TB, c *clientv3.Client, s *registry.Service) {
	tb.Helper()
	for _, n := range s.Nodes {
		lease, err := c.Grant(tb.Context(), 600)
		require.NoError(tb, err)
		one := *s
		one.Nodes = []*registry.Node{n}
		Put(tb, c, Keyspace.Node(s.Name, n.Id), Stored(tb, &one), clientv3.WithLease(lease.ID))
	}
}

// PutNotice puts a notice in the place of a node's record, on its lease.
func PutNotice(tb testing.TB, c *clientv3.Client, id string, n catalog.Notice) {
	tb.Helper()
	record := At(tb, c, RecordKey(id))
	n.Record = record.Value
	value, err := catalog.EncodeNotice(n)
	require.NoError(tb, err)
	lease := clientv3.WithLease(clientv3.LeaseID(record.Lease))
	_, err = c.Txn(tb.Context()).Then(
		clientv3.OpPut(NoticeKey(id), string(value), lease), clientv3.OpDelete(RecordKey(id)),
	).Commit()
	require.NoError(tb, err)
}

// NoticeAt requires a notice of a node, and no record.
func NoticeAt(tb testing.TB, c *clientv3.Client, id string) *catalog.Notice {
	tb.Helper()
	require.Nil(tb, At(tb, c, RecordKey(id)))
	kv := At(tb, c, NoticeKey(id))
	require.NotNil(tb, kv)
	n, err := catalog.DecodeNotice(kv.Value)
	require.NoError(tb, err)
	return n
}

// Acknowledge does with an event of a notice what the node's process does: it acknowledges a drain.
func Acknowledge(ctx context.Context, c *clientv3.Client, event *clientv3.Event) {
	n, err := catalog.DecodeNotice(event.Kv.Value)
	if err != nil || n.By == "" || !n.Acknowledged.IsZero() {
		return // as it does with the notice of its own checks
	}
	n.Acknowledged = time.Now()
	value, err := catalog.EncodeNotice(*n)
	if err != nil {
		return
	}
	key := string(event.Kv.Key)
	_, _ = c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", event.Kv.ModRevision)).
		Then(clientv3.OpPut(key, string(value), clientv3.WithLease(clientv3.LeaseID(event.Kv.Lease)))).Commit()
}
