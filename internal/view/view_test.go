package view

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
)

// newDetached returns a view of a service, and the service's keyspace.
func newDetached(t *testing.T) (*View, catalog.Keyspace) {
	t.Helper()
	keys := catalog.Keyspace{Prefix: "/micro/registry/"}
	connector := etcdconn.NewConnector(
		t.Context(), func(func()) bool { return false }, metrics.New(), func() {}, func() {},
	)
	return New(Config{Connector: connector, Keys: keys, Changed: func() {}}).Detached(keys.Dir("greeter")), keys
}

// What the old client said may arrive late.
func TestWhatWasRefusedBeforeTheClientWasReplacedSaysNothingAfterIt(t *testing.T) {
	v, _ := newDetached(t)
	v.waiters = 1
	v.Broken(rpctypes.ErrAuthFailed)
	require.Error(t, v.broken)
	v.shared.Connector.Replace(etcdconn.Config{})
	v.clientChanged()
	require.NoError(t, v.broken)
	v.Broken(rpctypes.ErrAuthFailed)
	require.NoError(t, v.broken)
	v.Listing(nil)
	v.Broken(rpctypes.ErrAuthFailed)
	require.Error(t, v.broken)
}

// The watch at the old client ends, and makes the view list, maybe before Init gets to ask for that.
func TestAListThatBeganAfterTheClientWasReplacedIsNotRepeated(t *testing.T) {
	v, _ := newDetached(t)
	all := &reflector.List{Header: &pb.ResponseHeader{ClusterId: 1, Revision: 1}}
	v.Replace(all)
	v.shared.Connector.Replace(etcdconn.Config{})
	v.Listing(etcdconn.ErrReplaced)
	require.Equal(t, metrics.ListClientReplaced, v.cause)
	v.Replace(all)
	v.clientChanged()
	require.Equal(t, metrics.ListPeriodic, v.cause, "no list is asked for")
	v.shared.Connector.Replace(etcdconn.Config{})
	v.clientChanged()
	require.Equal(t, metrics.ListClientReplaced, v.cause)
}

// The number of keys is compared with etcd's. Our own put is there before etcd's event, which is then known.
func TestAKeyThatWasMalformedAndIsOursAgainCountsOnce(t *testing.T) {
	v, keys := newDetached(t)
	v.Replace(&reflector.List{Header: &pb.ResponseHeader{ClusterId: 1, Revision: 1}})
	key := keys.Node("greeter", "n")
	junk := &mvccpb.KeyValue{Key: []byte(key), Value: []byte("junk"), ModRevision: 2, CreateRevision: 2}
	v.Apply([]*clientv3.Event{{Type: clientv3.EventTypePut, Kv: junk}})
	size, _ := v.Size()
	require.Equal(t, 1, size)
	v.ownPut(&catalog.Record{
		Key: key, Revision: 3, Name: "greeter", Version: "1", Profile: &catalog.Profile{}, Node: &catalog.Node{Id: "n"},
	})
	size, _ = v.Size()
	require.Equal(t, 1, size)
	v.Apply([]*clientv3.Event{{Type: clientv3.EventTypeDelete, Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: 4}}})
	size, _ = v.Size()
	require.Zero(t, size)
}

func TestAResyncIsSpreadOverSomeSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, keys := newDetached(t)
		c := New(v.shared.Config)
		views := make([]*View, 100)
		for i := range views {
			views[i] = c.Detached(keys.Dir(fmt.Sprint(i)))
			views[i].Replace(&reflector.List{Header: &pb.ResponseHeader{ClusterId: 1, Revision: 1}})
		}
		asked := func() (n int) {
			for _, v := range views {
				v.Mu.Lock()
				if v.cause == metrics.ListHistoryChanged {
					n++
				}
				v.Mu.Unlock()
			}
			return n
		}
		c.Resync()
		time.Sleep(resyncTime / 10)
		require.Less(t, asked(), 30)
		time.Sleep(resyncTime)
		require.Equal(t, 100, asked())
	})
}
