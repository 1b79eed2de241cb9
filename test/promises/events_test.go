package promises

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
)

func TestP4EveryEventOfABatchArrives(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	r := open(t, srv.Endpoints())
	one, all := watch(t, r, registry.WatchService("greeter")), watch(t, r)

	lease, err := client.Grant(ctx(t), 60)
	require.NoError(t, err)
	want := map[string]bool{}
	var puts []clientv3.Op
	for i := range 100 {
		id := fmt.Sprintf("greeter-%03d", i)
		want[id] = true
		key, value := record(t, service("greeter", "1", id))
		puts = append(puts, clientv3.OpPut(key, value, clientv3.WithLease(lease.ID)))
	}
	_, err = client.Txn(ctx(t)).Then(puts...).Commit()
	require.NoError(t, err)
	_, err = client.Revoke(ctx(t), lease.ID)
	require.NoError(t, err)

	for _, w := range []registry.Watcher{one, all} {
		for _, action := range []string{"create", "delete"} {
			got := map[string]bool{}
			for range 100 {
				res := next(t, w)
				require.Equal(t, action, res.Action)
				require.Equal(t, service("greeter", "1", res.Service.Nodes[0].Id), res.Service)
				got[res.Service.Nodes[0].Id] = true
			}
			require.Equal(t, want, got)
		}
	}
}

func TestP4CompactionWhileEtcdIsAwayIsADifference(t *testing.T) {
	srv := etcdtest.Start(t)
	consumer := open(t, srv.Endpoints())
	client := srv.Client(t)
	for _, id := range []string{"stays", "changes", "goes"} {
		key, value := record(t, service("greeter", "1", id))
		_, err := client.Put(ctx(t), key, value)
		require.NoError(t, err)
	}
	require.Equal(t, 3, nodes(t, consumer, "greeter"))
	w := watch(t, consumer, registry.WatchService("greeter"))
	srv.Stop()
	require.Equal(t, 3, nodes(t, consumer, "greeter"), "lookups go on")
	require.NoError(t, srv.Restart())

	// The consumer's client is back on its own time; before that or after, the end is the same.
	changed := service("greeter", "1", "changes")
	changed.Nodes[0].Address = "10.9.9.9:1"
	key, value := record(t, changed)
	_, err := client.Put(ctx(t), key, value)
	require.NoError(t, err)
	key, _ = record(t, service("greeter", "1", "goes"))
	gone, err := client.Delete(ctx(t), key)
	require.NoError(t, err)
	_, err = client.Compact(ctx(t), gone.Header.Revision, clientv3.WithCompactPhysical())
	require.NoError(t, err)

	got := map[string]string{}
	for range 2 {
		res := next(t, w)
		got[res.Service.Nodes[0].Id] = res.Action
	}
	require.Equal(t, map[string]string{"changes": "update", "goes": "delete"}, got)
	require.Equal(t, 2, nodes(t, consumer, "greeter"))
}

func TestP4ASlowConsumerCatchesUp(t *testing.T) {
	srv := etcdtest.Start(t)
	consumer := open(t, srv.Endpoints())
	client := srv.Client(t)
	w := watch(t, consumer, registry.WatchService("greeter"))
	for round := range 60 {
		var ops []clientv3.Op
		for i := range 100 {
			s := service("greeter", "1", fmt.Sprint(i))
			s.Nodes[0].Address = fmt.Sprint(round)
			key, value := record(t, s)
			ops = append(ops, clientv3.OpPut(key, value))
		}
		_, err := client.Txn(ctx(t)).Then(ops...).Commit()
		require.NoError(t, err)
	}
	last := map[string]string{}
	for len(last) < 100 || func() bool {
		for _, address := range last {
			if address != "59" {
				return true
			}
		}
		return false
	}() {
		n := next(t, w).Service.Nodes[0]
		last[n.Id] = n.Address
	}
}
