package view

import (
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

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
