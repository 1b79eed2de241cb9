package view

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
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
	v.clientChanged()
	require.NoError(t, v.broken)
	v.Broken(rpctypes.ErrAuthFailed)
	require.NoError(t, v.broken)
	v.Listing(nil)
	v.Broken(rpctypes.ErrAuthFailed)
	require.Error(t, v.broken)
}
