package demo

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/leak"
)

func TestMain(m *testing.M) { leak.Verify(m) }

func TestTheFleetLivesDiesAndEnds(t *testing.T) {
	d, err := Start(t.TempDir())
	require.NoError(t, err)
	client, err := d.Client()
	require.NoError(t, err)
	defer client.Close()
	count := func(service string) int64 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		all, err := client.Get(ctx, etcd.DefaultPrefix+service, clientv3.WithPrefix(), clientv3.WithCountOnly())
		require.NoError(t, err)
		return all.Count
	}
	for _, r := range d.roles {
		require.EqualValues(t, len(d.nodes[r]), count(r.name+"/"))
		require.GreaterOrEqual(t, len(d.nodes[r]), r.few)
	}
	require.EqualValues(t, 2, count("legacy-ftp/"))

	r := d.roles[0]
	before := r.version()
	require.NoError(t, d.deploy(t.Context(), r))
	require.NotEqual(t, before, r.version())
	require.EqualValues(t, len(d.nodes[r]), count(r.name+"/"))
	for range 4 {
		require.NoError(t, d.scale(r))
		require.EqualValues(t, len(d.nodes[r]), count(r.name+"/"))
	}

	ctx, cancel := context.WithCancel(t.Context())
	watch := client.Watch(ctx, etcd.DefaultPrefix+r.name+"/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	require.True(t, (<-watch).Created)
	killed := d.remove(r)
	id := killed.server.Options().Id
	killed.crash()
	timeout := time.NewTimer(10 * ttl)
	defer timeout.Stop()
	for gone := false; !gone; {
		select {
		case answer := <-watch:
			for _, e := range answer.Events {
				gone = gone || e.Type == clientv3.EventTypeDelete && strings.Contains(string(e.Kv.Key), id)
			}
		case <-timeout.C:
			t.Fatal("the killed node's record outlives its lease")
		}
	}
	cancel()

	d.Live(ctx, func(err error) { t.Error(err) })
	_, err = net.Dial("tcp", d.server.Endpoint())
	require.Error(t, err, "etcd is gone")
}
