package view

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/feed"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
)

// A view knows n2 at revision 100 when etcd is restored from a backup where it has revision 15. Whoever sees it then
// must hear of its delete, although 15 is no news after 100.
func TestWhatWasShownAfterARestoreGetsItsDelete(t *testing.T) {
	v, keys := newDetached(t)
	kv := func(id string, revision int64) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{
			Key: []byte(keys.Node("greeter", id)), CreateRevision: revision, ModRevision: revision,
			Value: fmt.Appendf(nil, `{"name":"greeter","nodes":[{"id":%q}]}`, id),
		}
	}
	list := func(revision int64, kvs ...*mvccpb.KeyValue) {
		v.Listing(nil)
		v.Replace(&reflector.List{Header: &pb.ResponseHeader{ClusterId: 1, Revision: revision}, Kvs: kvs})
	}
	list(50, kv("n1", 5))
	require.Len(t, v.Snapshot("greeter").Versions[0].Nodes, 1)
	v.Apply([]*clientv3.Event{{Type: clientv3.EventTypePut, Kv: kv("n2", 100)}})
	list(20, kv("n1", 5), kv("n2", 15))
	require.Len(t, v.Snapshot("greeter").Versions[0].Nodes, 2)
	v.Apply(
		[]*clientv3.Event{{Type: clientv3.EventTypeDelete, Kv: &mvccpb.KeyValue{Key: kv("n2", 0).Key, ModRevision: 21}}},
	)

	w := feed.NewWatcher(t.Context(), "greeter")
	v.Attach(w)
	change, err := w.Next()
	require.NoError(t, err)
	require.Equal(t, catalog.Delete, change.Action)
	require.Equal(t, "n2", change.Record.Node.Id)
}
