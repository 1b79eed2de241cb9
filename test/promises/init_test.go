package promises

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/util/cmd"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func TestP1ItIsGoMicrosEtcdRegistry(t *testing.T) {
	srv := etcdtest.Start(t)
	t.Setenv("MICRO_REGISTRY_ADDRESS", "127.0.0.1:1,127.0.0.1:2")
	r := cmd.DefaultRegistries["etcd"]()
	own, ok := r.(*etcd.Registry)
	require.True(t, ok)
	t.Cleanup(func() { _ = own.Close() })
	require.Equal(t, "etcd", r.String())
	require.NoError(t, r.Init(registry.Addrs(srv.Endpoints()...)), "as --registry_address does")
	require.NoError(t, r.Register(service("greeter", "1", "a")))
	require.Equal(t, []string{"http://" + srv.Endpoint()}, own.Status().Endpoints)
}

func TestP1TheRecordIsTheOfficialPluginsByteForByte(t *testing.T) {
	srv := etcdtest.Start(t)
	r := open(t, srv.Endpoints())
	s := service("team/greeter", "1", "a")
	require.NoError(t, r.Register(s))
	_, value := record(t, s)
	got, err := srv.Client(t).Get(ctx(t), "/micro/registry/team-greeter/a")
	require.NoError(t, err)
	require.Len(t, got.Kvs, 1)
	require.Equal(t, value, string(got.Kvs[0].Value))
}

func TestP2InitMovesEverythingToAnotherCluster(t *testing.T) {
	a, b := etcdtest.Start(t), etcdtest.Start(t)
	r := open(t, a.Endpoints())
	key, value := record(t, service("only-b", "1", "x"))
	_, err := b.Client(t).Put(ctx(t), key, value)
	require.NoError(t, err)
	s := service("greeter", "1", "a")
	require.NoError(t, r.Register(s, registry.RegisterTTL(time.Minute)))
	key, value = record(t, service("greeter", "1", "only-a"))
	_, err = a.Client(t).Put(ctx(t), key, value)
	require.NoError(t, err)
	eventually(t, func() bool { return nodes(t, r, "greeter") == 2 }, "both at a")
	w := watch(t, r)

	require.NoError(t, r.Init(registry.Addrs(b.Endpoints()...)))
	seen := map[string]string{}
	for seen["only-a"] != "delete" || seen["x"] != "create" {
		res := next(t, w)
		seen[res.Service.Nodes[0].Id] = res.Action
	}
	eventually(t, func() bool {
		got, err := b.Client(t).Get(ctx(t), "/micro/registry/greeter/a")
		return err == nil && len(got.Kvs) == 1
	}, "the registration is at b")
	eventually(t, func() bool { return nodes(t, r, "greeter") == 1 && nodes(t, r, "only-b") == 1 }, "the view is b's")
}

func TestP6InitIsSafeBesideRunningCallsAndLeaksNothing(t *testing.T) {
	srv := etcdtest.Start(t)
	r := open(t, srv.Endpoints())
	s := service("greeter", "1", "a")
	ttl := registry.RegisterTTL(time.Minute)
	require.NoError(t, r.Register(s, ttl))
	w := watch(t, r)
	require.Equal(t, 1, nodes(t, r, "greeter"))
	before := goroutines()

	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			mine := service("churn", "1", fmt.Sprint(g))
			for {
				select {
				case <-stop:
					return
				default:
				}
				for what, err := range map[string]error{
					"register": r.Register(mine, ttl), "again": r.Register(s, ttl),
					"deregister": r.Deregister(mine), "init": r.Init(registry.Timeout(4 * time.Second)),
				} {
					if err != nil {
						t.Error(what, err)
						return
					}
				}
				_, err := r.ListServices()
				if err != nil {
					t.Error("list", err)
					return
				}
				_ = r.Options()
				_ = r.Status()
			}
		})
	}
	for i := range 20 {
		// A user name makes another connection; without authentication etcd ignores it.
		require.NoError(t, r.Init(etcd.Auth(fmt.Sprint("user", i), "password")))
		require.Equal(t, 1, nodes(t, r, "greeter"))
		require.NoError(t, r.Register(s, ttl))
	}
	close(stop)
	wg.Wait()
	goroutinesEnd(t, before, 6) // those of the lessor began with the first keepalive

	require.NoError(t, r.Register(service("greeter", "1", "last"), ttl))
	for next(t, w).Service.Nodes[0].Id != "last" {
	}
	client := srv.Client(t)
	eventually(t, func() bool { return leases(t, client) == 2 }, "one of each registration")
}

func TestP6TheClientIsTheRegistrysAndConnected(t *testing.T) {
	srv := etcdtest.Start(t)
	r := open(t, srv.Endpoints(), registry.Timeout(time.Second))
	c, err := r.Client(t.Context())
	require.NoError(t, err)
	require.NoError(t, r.Register(service("greeter", "1", "a"), registry.RegisterTTL(time.Minute)))
	got, err := c.Get(t.Context(), etcd.DefaultPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	require.NoError(t, err)
	require.EqualValues(t, 1, got.Count)
	again, err := r.Client(context.Background())
	require.NoError(t, err)
	require.Same(t, c, again)

	srv.Stop()
	eventually(t, func() bool {
		_, err := r.Client(context.Background())
		return errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "connection refused")
	}, "the error says why")
	require.NoError(t, srv.Restart())
	_, err = r.Client(context.Background())
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Error(t, c.Ctx().Err())
}

func TestP3WhatIsLeftAtTheOldClusterGoesWithItsTTL(t *testing.T) {
	t.Parallel()
	a, b := etcdtest.Start(t), etcdtest.Start(t)
	r := open(t, a.Endpoints())
	require.NoError(t, r.Register(service("greeter", "1", "n1", "n2"), registry.RegisterTTL(3*time.Second)))
	require.NoError(t, r.Init(registry.Addrs(b.Endpoints()...)))
	for client, want := range map[*clientv3.Client]int{a.Client(t): 0, b.Client(t): 2} {
		eventually(
			t, func() bool { return keys(t, client, etcd.DefaultPrefix) == want }, "records are only at the new cluster",
		)
	}
	require.Zero(t, leases(t, a.Client(t)))
}
