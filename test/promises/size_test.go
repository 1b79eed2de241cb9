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
func TestP2TheLargestRecordCanBePutBack(t *testing.T) {
	t.Parallel()
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

func TestP7ARecordThatIsTooLargeIsRefusedAndTheOneBeforeStays(t *testing.T) {
	srv := etcdtest.Start(t)
	r := open(t, srv.Endpoints())
	for _, size := range []int{1_600_000, 3_000_000} {
		s := service("greeter", "1", "a")
		require.NoError(t, r.Register(s, registry.RegisterTTL(time.Minute)))
		big := service("greeter", "1", "a")
		big.Metadata["blob"] = strings.Repeat("x", size)
		err := r.Register(big, registry.RegisterTTL(time.Minute))
		require.ErrorIs(t, err, etcd.ErrTooLarge)
		require.ErrorContains(t, err, "greeter/a")
		require.NotErrorIs(t, err, etcd.ErrPending)
		require.NoError(t, r.Register(s, registry.RegisterTTL(time.Minute)))
		got, err := r.GetService("greeter")
		require.NoError(t, err)
		require.Equal(t, []*registry.Service{s}, got)
		require.NoError(t, r.Deregister(s))
		require.ErrorIs(t, r.Register(big, registry.RegisterTTL(time.Minute)), etcd.ErrTooLarge)
		require.Zero(t, nodes(t, r, "greeter"))
		eventually(t, func() bool { return leases(t, srv.Client(t)) == 0 }, "the refused record's lease goes")
	}
}

func TestP7ARefusedRegisterDoesNotTouchTheRecordBefore(t *testing.T) {
	srv := etcdtest.Start(t)
	r, consumer := open(t, srv.Endpoints()), open(t, srv.Endpoints())
	require.NoError(t, r.Register(service("greeter", "1", "n"), registry.RegisterTTL(10*time.Second)))
	w := watch(t, consumer)
	big := service("greeter", "1", "n")
	big.Metadata["blob"] = strings.Repeat("x", 3<<20)
	require.ErrorIs(t, r.Register(big, registry.RegisterTTL(20*time.Second)), etcd.ErrTooLarge)
	require.NoError(t, r.Register(service("greeter", "1", "n"), registry.RegisterTTL(10*time.Second)))
	require.NoError(t, r.Register(service("greeter", "1", "last")))
	for {
		res := next(t, w)
		require.NotEqual(t, "delete", res.Action)
		if res.Service.Nodes[0].Id == "last" {
			return
		}
	}
}

// A record that etcd refuses must not fail the others of its call.
func TestP7AHugeRecordHurtsNoOther(t *testing.T) {
	srv := etcdtest.Start(t)
	provider := open(t, srv.Endpoints())
	all := dense("dense", 50)
	all.Nodes[20].Metadata = map[string]string{"huge": string(make([]byte, 2<<20))}
	err := provider.Register(all, registry.RegisterTTL(time.Minute))
	require.ErrorIs(t, err, etcd.ErrTooLarge)
	require.Contains(t, err.Error(), all.Nodes[20].Id)
	require.Equal(t, 49, keys(t, srv.Client(t), etcd.DefaultPrefix+"dense/"))
}
