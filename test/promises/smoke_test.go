package promises

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/etcdtest"
)

func TestSmoke(t *testing.T) {
	s := etcdtest.Start(t)
	r, err := etcd.New(registry.Addrs(s.Endpoints()...))
	require.NoError(t, err)
	svc := &registry.Service{Name: "greeter", Version: "1", Nodes: []*registry.Node{{Id: "greeter-1", Address: "127.0.0.1:1", Metadata: map[string]string{"a": "b"}}}}
	w, err := r.Watch()
	require.NoError(t, err)
	start := time.Now()
	require.NoError(t, r.Register(svc, registry.RegisterTTL(3*time.Second)))
	t.Log("register", time.Since(start))
	start = time.Now()
	require.NoError(t, r.Register(svc, registry.RegisterTTL(3*time.Second)))
	t.Log("again", time.Since(start))
	res, err := w.Next()
	require.NoError(t, err)
	t.Log(res.Action, res.Service.Nodes[0])
	got, err := r.GetService("greeter")
	require.NoError(t, err)
	require.Equal(t, []*registry.Service{svc}, got)
	t.Logf("%+v", r.Status())
	for i := range 1000 {
		require.NoError(t, r.Deregister(svc), i)
		_, err = r.GetService("greeter")
		require.ErrorIs(t, err, registry.ErrNotFound)
		require.NoError(t, r.Register(svc, registry.RegisterTTL(3*time.Second)))
		_, err = r.GetService("greeter")
		require.NoError(t, err)
	}
	start = time.Now()
	require.NoError(t, r.Close())
	t.Log("close", time.Since(start))
}
