package etcd

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
)

// What was ours before, and comes back or never ended.

func TestASnapshotDoesNotReviveWhatWasDeregistered(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(5), time.Hour)
		saved := e.Snapshot()
		one := &registry.Service{Name: "greeter", Nodes: greeter(1).Nodes}
		require.NoError(t, r.Deregister(one))
		e.Restore(saved)
		await(t, 30*time.Second, "it is removed again", func() bool {
			_, _, there := e.value(greeterKey)
			return !there
		})
		time.Sleep(time.Minute)
		require.NoError(t, r.Close())
		require.Zero(t, e.leaseCount())
	})
}

// What a snapshot brought back is removed while the same node may be registered again.
func TestRemovingWhatCameBackDoesNotHurtANewRegistration(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		other := &registry.Service{Name: "other", Nodes: []*registry.Node{{Id: "1", Address: "a:1"}}}
		mustRegister(t, r, other, time.Hour) // so that etcd is looked at
		mustRegister(t, r, greeter(3), time.Hour)
		saved := e.Snapshot()
		require.NoError(t, r.Deregister(greeter(3)))
		registered := make(chan int, 1) // how often the key had been deleted by then
		e.On(etcdfake.Deletes, 1, func(_ context.Context, answer func() (any, error)) (any, error) {
			go func() {
				assert.NoError(t, r.Register(greeter(3), registry.RegisterTTL(time.Hour)))
				registered <- e.losses(greeterKey)
			}()
			e.Wait(t.Context(), 500*time.Millisecond)
			return answer()
		})
		e.Restore(saved)
		var losses int
		select {
		case losses = <-registered:
		case <-time.After(time.Minute):
			t.Fatal("it isn't removed")
		}
		time.Sleep(time.Minute)
		require.Equal(t, losses, e.losses(greeterKey))
		require.True(t, e.has(greeter(3)))
		require.NoError(t, r.Deregister(greeter(3)))
		require.Empty(t, e.truth("greeter"))
	})
}

func TestRemovingWhatCameBackIsTriedAgain(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(5), time.Hour)
		saved := e.Snapshot()
		one := &registry.Service{Name: "greeter", Nodes: greeter(1).Nodes}
		require.NoError(t, r.Deregister(one))
		allow := e.Refuse(etcdfake.Deletes, rpctypes.ErrGRPCTimeout)
		e.Restore(saved)
		time.Sleep(time.Minute)
		_, _, there := e.value(greeterKey)
		require.True(t, there)
		allow()
		await(t, 30*time.Second, "it is removed again", func() bool {
			_, _, there := e.value(greeterKey)
			return !there
		})
		await(t, time.Second, "and that is known", func() bool { return len(r.Status().Registrations) == 4 })
	})
}

func TestARecordOnAFormerLeaseOfOursIsOurs(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(5), time.Hour)
		saved := e.Snapshot()
		e.RevokeAll()
		await(t, time.Second, "all are back", func() bool { return e.has(greeter(5)) })
		e.Restore(saved)
		await(t, 30*time.Second, "it is registered", func() bool {
			for _, g := range r.Status().Registrations {
				if g.State != "registered" {
					return false
				}
				if _, lease, _ := e.value(g.Key); lease != g.Lease {
					return false
				}
			}
			return e.has(greeter(5))
		})
		require.NoError(t, r.Deregister(greeter(5)))
		require.Empty(t, e.truth("greeter"))
	})
}

func TestALatePutOfAnOlderValueIsOurs(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		e.DelayPast(etcdfake.Puts, 1, 2*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		require.Error(t, r.Register(greeter(1), registry.RegisterContext(ctx)))
		require.NoError(t, r.Register(rival()))
		time.Sleep(time.Minute)
		require.True(t, e.has(rival()), r.Status().Registrations)
	})
}

func TestARestoredOlderValueIsOurs(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		require.NoError(t, r.Register(greeter(1)))
		backup := e.Snapshot()
		require.NoError(t, r.Register(rival()))
		time.Sleep(time.Minute)
		e.Restore(backup)
		time.Sleep(time.Hour)
		require.True(t, e.has(rival()), r.Status().Registrations)
	})
}

// A removal deletes the key and revokes the lease, one after the other. The timeout is for callers.
func TestNothingIsLeftAlthoughTheTimeoutIsShorterThanTwoRoundTrips(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t, registry.Timeout(250*time.Millisecond))
		mustRegister(t, r, greeter(1), time.Hour)
		e.Slow(80 * time.Millisecond)
		require.Error(t, r.Deregister(greeter(1)))
		await(t, 2*time.Second, "nothing is left", func() bool { return e.leaseCount() == 0 && len(e.truth("greeter")) == 0 })
		time.Sleep(time.Minute)
		require.Empty(t, r.Status().Registrations)
	})
}

func TestTheTimeOfARestoreBeginsWhenTheWatchEnds(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(1), testTTL)
		time.Sleep(time.Minute)
		e.Cut()
		e.Remove(greeterKey)
		e.Mend()
		await(t, time.Second, "the record is back", func() bool { return e.has(greeter(1)) })
		g := r.Status().Registrations[0]
		require.Equal(t, "watch_ended", g.RestoreCause)
		require.Less(t, g.RestoredAfter, time.Second)
	})
}

func TestARepairIsLoggedAndCounted(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, logs := e.newRegistry(t)
		mustRegister(t, r, greeter(100), testTTL)
		e.Remove(DefaultPrefix)
		await(t, time.Second, "all are back", func() bool { return e.has(greeter(100)) })
		time.Sleep(time.Second)
		said := logs.logged()
		require.Len(t, said, maxRestores)
		require.Regexp(t, `^info etcd registry: registration \S+ was put back \d+ms after: key deleted$`, said[0])
		time.Sleep(restoreInterval)
		said = logs.logged()
		require.Len(t, said, 2*maxRestores+1)
		require.Equal(t, "info etcd registry: 80 more registrations were put back", said[2*maxRestores])
		g := r.Status().Registrations[99]
		require.Equal(t, 1, g.Restored)
		require.Equal(t, "key_deleted", g.RestoreCause)
		require.Less(t, g.RestoredAfter, time.Second)

		for range 4 {
			e.Remove(g.Key)
			await(t, time.Second, "it is back", func() bool { return e.has(greeter(100)) })
		}
		require.Len(t, logs.logged(), 2*maxRestores+1, "nothing more soon after")
		time.Sleep(restoreInterval)
		require.Len(t, logs.logged(), 2*maxRestores+2, "but then")
		require.Equal(t, 5, r.Status().Registrations[99].Restored)
	})
}
