package etcd

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// What hurt the users of other registries on etcd, each by the ticket that told of it.

// micro/go-micro#2821: every tick of 4,000 pods cost requests, and each of them an authentication.
func TestPeers2821ATickCostsEtcdNothing(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(1), 90*time.Second)
		newFollower(t, r, "greeter")
		time.Sleep(time.Minute + time.Second) // not when a renewal is due
		before := e.requests()
		for range 100 {
			mustRegister(t, r, greeter(1), 90*time.Second)
			looked(t, r, "greeter")
		}
		require.Equal(t, before, e.requests(), "at a moment")

		for range 60 * 2 {
			time.Sleep(30 * time.Second)
			mustRegister(t, r, greeter(1), 90*time.Second)
			looked(t, r, "greeter")
		}
		assert.LessOrEqual(
			t, e.requests()-before, 60*(2+4)+12, "in an hour: two renewals and four probes a minute, a list each five minutes",
		)
		assert.Zero(t, e.requests("Authenticate"))
	})
}

// go-kratos/kratos#3883, #2398, #3464: after some tries the heartbeat gave up, and the process was gone for good.
func TestPeers3883TheHeartbeatNeverGivesUp(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(1), testTTL)
		e.Stop()
		time.Sleep(time.Hour)
		e.RevokeAll()
		e.Start()
		await(t, 2*time.Second, "the record is back", func() bool { return e.has(greeter(1)) })
	})
}

// zeromicro/go-zero#3364, #5347: ErrCompacted, or a refused user, made a loop without a pause.
func TestPeers3364NoLoopWithoutAPause(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"compacted":   rpctypes.ErrGRPCCompacted,
		"not allowed": rpctypes.ErrGRPCPermissionDenied,
		"wrong user":  rpctypes.ErrGRPCAuthFailed,
	} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				provider, _ := e.newRegistry(t)
				r, _ := e.newRegistry(t)
				mustRegister(t, provider, greeter(1), testTTL)
				f := newFollower(t, r, "greeter")
				allow := e.Refuse(etcdfake.Either(etcdfake.Watches, etcdfake.Reads, etcdfake.Puts), err)
				e.EndStreams(etcdfake.ErrUnavailable)
				before := e.requests()
				time.Sleep(10 * time.Minute)
				assert.Less(t, (e.requests()-before)/600, 20, "requests in a second")
				allow()
				await(t, retry.MaxRefused+time.Second, "all is well", func() bool {
					return e.has(greeter(1)) && e.differ("greeter", r, f) == ""
				})
			})
		})
	}
}

// zeromicro/go-zero#4960: a key deleted while its lease lived never returned.
func TestPeers4960ADeletedKeyReturns(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(1), testTTL)
		_, lease, _ := e.value(greeterKey)
		e.Remove(greeterKey)
		await(t, time.Second, "the record is back", func() bool { return e.has(greeter(1)) })
		_, now, _ := e.value(greeterKey)
		require.Equal(t, lease, now, "on its lease, which had nothing wrong")
	})
}

// smallnest/rpcx#420, go-kit/kit#1043: the id of a lease that had run out was used again, or never replaced.
func TestPeers420ALostLeaseIsReplaced(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(1), testTTL)
		used := make(map[int64]bool)
		for range 20 {
			_, lease, _ := e.value(greeterKey)
			require.False(t, used[lease], "each has its time")
			used[lease] = true
			e.Revoke(lease)
			await(t, time.Second, "the record is back", func() bool { return e.has(greeter(1)) })
			time.Sleep(time.Minute)
			require.Equal(t, 1, e.leaseCount())
		}
	})
}

// apache/dubbo-go#3366: a reconnect dropped every subscription without a word.
func TestPeers3366SubscriptionsSurviveAReconnect(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		provider, _ := e.newRegistry(t)
		r, _ := e.newRegistry(t)
		mustRegister(t, provider, greeter(3), testTTL)
		followers := []*follower{newFollower(t, r, "greeter"), newFollower(t, r, "greeter"), newFollower(t, r, "greeter")}
		for i := range 10 {
			e.Cut()
			time.Sleep(time.Duration(i) * time.Second)
			e.Mend()
			mustRegister(t, provider, greeter(4+i), testTTL)
			await(t, 2*time.Second, "all have heard", func() bool { return e.differ("greeter", r, followers...) == "" })
		}
	})
}

// etcd#11954, #12615, #12385: "invalid auth token" ended a watch after a reconnect.
func TestPeers11954AnInvalidTokenEndsNoWatch(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		provider, _ := e.newRegistry(t)
		r, _ := e.newRegistry(t)
		mustRegister(t, provider, greeter(1), testTTL)
		f := newFollower(t, r, "greeter")
		e.Cut()
		e.ExpireTokens()
		e.Mend()
		e.CancelWatches(rpctypes.ErrGRPCInvalidAuthToken.Error())
		mustRegister(t, provider, greeter(2), testTTL)
		await(t, 2*time.Second, "the watch goes on", func() bool { return e.differ("greeter", r, f) == "" })
	})
}

// etcd#8980: a connection that died without a word hung watches until TCP gave up.
func TestPeers8980AHalfOpenConnectionIsFoundOut(t *testing.T) {
	for name, towards := range map[string][]bool{"one way": {true}, "the other": {false}, "both": {true, false}} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				provider, _ := e.newRegistry(t)
				r, logs := e.newRegistry(t)
				mustRegister(t, provider, greeter(1), testTTL)
				newFollower(t, r, "greeter")
				time.Sleep(time.Minute)
				e.Hold(towards...)
				await(t, 15*time.Second, "it is found out", func() bool { return !r.Status().Connected })
				await(t, 20*time.Second, "and said", func() bool { return len(logs.logged()) > 0 })
				e.Mend()
				await(t, 2*time.Second, "all is well", func() bool { return e.differ("greeter", r) == "" })
				require.Zero(t, e.losses(greeterKey))
			})
		})
	}
}

// etcd#17529, #15402, #16839: hundreds of watches with PrevKV on a stream: minutes late, events lost, the server out of
// memory.
func TestPeers17529WatchersShareOneWatch(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		asked, prevKV := 0, 0
		e.On(func(_ string, request any) bool {
			if create, ok := request.(*pb.WatchCreateRequest); ok {
				asked++
				if create.PrevKv {
					prevKV++
				}
			}
			return false
		}, etcdfake.Always, nil)
		for range 300 {
			w, err := r.Watch(registry.WatchService("greeter"))
			require.NoError(t, err)
			t.Cleanup(w.Stop)
		}
		time.Sleep(time.Second)
		e.Mu.Lock()
		defer e.Mu.Unlock()
		require.Equal(t, 1, asked)
		require.Zero(t, prevKV)
	})
}

// etcd#15247: a stalled leader revoked all leases at once.
func TestPeers15247EveryLeaseRevokedAtOnce(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		f := newFollower(t, r, "greeter")
		all := greeter(20)
		for _, n := range all.Nodes {
			provider, _ := e.newRegistry(t)
			mustRegister(t, provider, &registry.Service{Name: "greeter", Version: "1", Nodes: []*registry.Node{n}}, testTTL)
		}
		time.Sleep(time.Minute)
		e.RevokeAll()
		await(t, time.Second, "all records are back", func() bool { return e.has(all) })
		await(t, time.Second, "and seen", func() bool { return e.differ("greeter", r, f) == "" })
	})
}

// micro/go-micro#2805: after rolling deploys, clients dialed dead nodes for 45 to 60 s.
func TestPeers2805ADeregisteredNodeIsGoneAtOnce(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		f := newFollower(t, r, "greeter")
		old, _ := e.newRegistry(t)
		mustRegister(t, old, greeter(1), testTTL)
		await(t, 100*time.Millisecond, "it is seen", func() bool { return e.differ("greeter", r, f) == "" })
		require.NoError(t, old.Deregister(greeter(1)))
		took := await(t, 100*time.Millisecond, "it is gone", func() bool {
			return len(looked(t, r, "greeter")) == 0 && len(f.lines()) == 0
		})
		t.Logf("gone %s after Deregister returned", took)
	})
}

// go-micro#1481, #2769, plugins#160: a delete event without a previous value, a registration without a TTL, and an etcd
// that couldn't be reached at the start, panicked.
func TestPeers1481NothingPanics(t *testing.T) {
	t.Run("a delete without its value, and no TTL", func(t *testing.T) {
		withFake(t, func(t *testing.T, e *fakeEtcd) {
			provider, _ := e.newRegistry(t)
			r, _ := e.newRegistry(t)
			w, err := r.Watch()
			require.NoError(t, err)
			defer w.Stop()
			require.NoError(t, provider.Register(greeter(1)))
			require.NoError(t, provider.Deregister(greeter(1)))
			for _, action := range []string{"create", "delete"} {
				result, err := w.Next()
				require.NoError(t, err)
				require.Equal(t, action, result.Action)
				require.Equal(t, "n1", result.Service.Nodes[0].Id)
			}
		})
	})
	t.Run("no etcd at the start", func(t *testing.T) {
		withFake(t, func(t *testing.T, e *fakeEtcd) {
			e.Cut()
			r, _ := e.newRegistry(t, registry.Timeout(time.Second))
			require.ErrorIs(t, r.Register(greeter(1)), ErrPending)
			_, err := r.GetService("greeter")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			e.Mend()
			await(t, time.Second, "it is registered", func() bool { return e.has(greeter(1)) })
			require.Len(t, looked(t, r, "greeter"), 1)
		})
	})
	t.Run("options that make no sense", func(t *testing.T) {
		r := NewRegistry(registry.Addrs("http://a", "https://b"))
		require.ErrorIs(t, r.Register(greeter(1)), ErrAddress)
		_, err := r.Watch()
		require.ErrorIs(t, err, ErrAddress)
	})
}
