package promises

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// The request that puts a record back has a guard. It mustn't be too large where the first one wasn't.
func TestTheLargestRecordCanBePutBack(t *testing.T) {
	const limit = 64 << 10
	srv := etcdtest.Start(t, func(c *embed.Config) { c.MaxRequestBytes = limit })
	client := srv.Client(t)
	s := registerLargest(t, open(t, []string{srv.Endpoint()}), limit, time.Minute)
	key, value := record(t, s)
	_, err := client.Delete(ctx(t), key)
	require.NoError(t, err)
	eventually(t, func() bool {
		got, err := client.Get(ctx(t), key)
		return err == nil && len(got.Kvs) == 1 && string(got.Kvs[0].Value) == value
	}, "it isn't put back")
}

// registerLargest registers the largest record that etcd takes.
func registerLargest(t *testing.T, r *etcd.Registry, limit int, ttl time.Duration) *registry.Service {
	t.Helper()
	s := service("greeter", "1", "n1")
	for size := limit; ; size-- {
		s.Nodes[0].Metadata["padding"] = strings.Repeat("x", size)
		err := r.Register(s, registry.RegisterTTL(ttl))
		if err == nil {
			return s
		}
		require.ErrorIs(t, err, etcd.ErrTooLarge)
	}
}
