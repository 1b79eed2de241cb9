package etcd

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/status"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
)

// How etcd can be away, and back.
var outages = map[string]struct{ begin, end func(*fakeEtcd) }{
	"connections refused, leases run out": {func(e *fakeEtcd) { e.Cut() }, func(e *fakeEtcd) { e.Mend() }},
	"black hole, leases run out":          {func(e *fakeEtcd) { e.Hold(true, false) }, func(e *fakeEtcd) { e.Mend() }},
	"requests vanish, leases run out":     {func(e *fakeEtcd) { e.Hold(true) }, func(e *fakeEtcd) { e.Mend() }},
	"answers vanish, leases run out":      {func(e *fakeEtcd) { e.Hold(false) }, func(e *fakeEtcd) { e.Mend() }},
	"etcd down, leases survive":           {func(e *fakeEtcd) { e.Stop() }, func(e *fakeEtcd) { e.Start() }},
	"etcd down, started without its data": {func(e *fakeEtcd) { e.Stop() }, func(e *fakeEtcd) { e.Wipe() }},
}

func TestAllRecordsAreBackTwoSecondsAfterAnOutage(t *testing.T) {
	t.Parallel()
	for name, outage := range outages {
		for _, length := range []time.Duration{2 * testTTL, 3 * time.Minute} {
			t.Run(name+", "+length.String(), func(t *testing.T) {
				withFake(t, func(t *testing.T, e *fakeEtcd) {
					r, _ := e.newRegistry(t)
					mustRegister(t, r, greeter(20), testTTL)
					f := newFollower(t, r, "greeter")
					time.Sleep(time.Minute)
					before := looked(t, r, "greeter").lines()
					outage.begin(e)
					for began := time.Now(); time.Since(began) < length; time.Sleep(time.Second) {
						require.Equal(t, before, looked(t, r, "greeter").lines(), "lookups are answered from the last view")
					}
					outage.end(e)
					await(t, 2*time.Second, "all records are back", func() bool { return e.has(greeter(20)) })
					await(t, 3*time.Second, "everybody sees them", func() bool { return e.differ("greeter", r, f) == "" })
					time.Sleep(3 * testTTL)
					require.True(t, e.has(greeter(20)))
					require.Empty(t, e.differ("greeter", r, f))
				})
			})
		}
	}
}

func TestRenewalsShareStreams(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(50), time.Minute)
		time.Sleep(time.Hour) // in which they come apart
		before, renewals := e.Keepalives.Load(), e.requests("LeaseKeepAlive")
		time.Sleep(10 * time.Minute)
		require.Greater(t, e.requests("LeaseKeepAlive")-renewals, 50*30)
		require.LessOrEqual(t, e.Keepalives.Load()-before, int64(2))
		require.Zero(t, e.lost(greeter(50)))
	})
}

func TestCallsReturnInTimeDuringAnOutage(t *testing.T) {
	const timeout = 3 * time.Second
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, _ := e.newRegistry(t, registry.Timeout(timeout))
				mustRegister(t, r, greeter(1), testTTL)
				time.Sleep(time.Minute)
				outage.begin(e)
				time.Sleep(20 * time.Second)
				took := func(limit time.Duration, call func() error) error {
					t.Helper()
					began := time.Now()
					err := call()
					require.LessOrEqual(t, time.Since(began), limit)
					return err
				}
				other := &registry.Service{Name: "other", Nodes: []*registry.Node{{Id: "1"}}}
				register := func() error { return r.Register(other, registry.RegisterTTL(testTTL)) }
				require.ErrorIs(t, took(timeout, register), ErrPending)
				require.ErrorIs(t, took(0, register), ErrPending, "repeated")
				require.NoError(t, took(timeout, func() error { return r.Deregister(other) }), "nothing is there")
				_, err := r.GetService("unknown")
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.NoError(t, took(timeout, func() error {
					w, err := r.Watch(registry.WatchService("greeter"))
					w.Stop()
					return err
				}))
				ours := func() error { return r.Deregister(greeter(1)) }
				require.Error(t, took(timeout-time.Millisecond, ours), "a process needs some time to end, too")
				require.NoError(t, took(2*timeout+3*time.Second, func() error { serverStop(r, greeter(1)); return nil }))
				_ = took(timeout, r.Close)
				outage.end(e)
			})
		})
	}
}

// serverStop does what go-micro's server does when it is stopped while a tick of it is due (server/rpc_server.go:
// Start, Register, Deregister).
func serverStop(r registry.Registry, s *registry.Service) {
	for _, pause := range []time.Duration{100 * time.Millisecond, 600 * time.Millisecond, 1900 * time.Millisecond} {
		if r.Register(s, registry.RegisterTTL(testTTL)) == nil {
			break
		}
		time.Sleep(pause)
	}
	_ = r.Deregister(s)
}

func TestAServiceThatStartsWithoutEtcdIsThereASecondAfterIt(t *testing.T) {
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				outage.begin(e)
				r, logs := e.newRegistry(t)
				require.ErrorIs(t, r.Register(greeter(1), registry.RegisterTTL(testTTL)), ErrPending)
				for range 3 {
					time.Sleep(testTTL)
					require.ErrorIs(t, r.Register(greeter(1), registry.RegisterTTL(testTTL)), ErrPending)
				}
				require.NotEmpty(t, logs.logged(), "it says so")
				outage.end(e)
				await(t, time.Second, "it is registered", func() bool { return e.has(greeter(1)) })
				require.NoError(t, r.Register(greeter(1), registry.RegisterTTL(testTTL)))
			})
		})
	}
}

func TestADeregisterDuringAnOutageLeavesNothing(t *testing.T) {
	for name, outage := range outages {
		for _, ttl := range []time.Duration{testTTL, 0} {
			t.Run(name+", TTL "+ttl.String(), func(t *testing.T) {
				withFake(t, func(t *testing.T, e *fakeEtcd) {
					r, _ := e.newRegistry(t)
					mustRegister(t, r, greeter(1), ttl)
					outage.begin(e)
					time.Sleep(5 * time.Second)
					require.Error(t, r.Deregister(greeter(1)))
					outage.end(e)
					await(t, 2*time.Second, "it is gone", func() bool { return len(e.truth("greeter")) == 0 })
					time.Sleep(3 * testTTL)
					require.Empty(t, e.truth("greeter"))
					require.Zero(t, e.leaseCount())
				})
			})
		}
	}
}

// What happened while a view was cut off reaches its watchers as changes, also when etcd has forgotten how it came to
// be.
func TestWatchersHearOfWhatTheyMissed(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		withFake(t, func(t *testing.T, e *fakeEtcd) {
			provider, _ := e.newRegistry(t)
			e.Cut()
			reader, _ := e.newRegistry(t)
			e.Mend()
			mustRegister(t, provider, greeter(3), 0)
			f := newFollower(t, reader, "greeter")
			time.Sleep(time.Minute)
			e.Cut()
			e.Remove(greeterDir + "n2")
			e.PutKey(greeterDir+"n4", `{"name":"greeter","version":"2","nodes":[{"id":"n4"}]}`, 0)
			e.PutKey(greeterKey, `{"name":"greeter","version":"2","nodes":[{"id":"n1"}]}`, 0)
			time.Sleep(time.Minute)
			if compacted {
				e.CompactNow()
			}
			e.Mend()
			await(t, 2*time.Second, "everything is told", func() bool { return e.differ("greeter", reader, f) == "" })
			require.NoError(t, errors.Join(provider.Close(), reader.Close()))
		})
	}
}

func TestCloseDeregistersWhatFailedBeforeIfEtcdIsBack(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(5), 10*time.Minute)
		e.Stop()
		require.Error(t, r.Deregister(greeter(5)))
		e.Start()
		require.NoError(t, r.Close())
		require.Equal(t, 5, e.lost(greeter(5)))
		require.Zero(t, e.leaseCount())
	})
}

// What was lost before says nothing of the network that there is now.
func TestATryIsShortAgainAfterASuccess(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		register := func(version string, lost int) time.Duration {
			s := greeter(1)
			s.Version = version
			e.Ignore(etcdfake.Puts, lost)
			began := time.Now()
			mustRegister(t, r, s, testTTL)
			return time.Since(began)
		}
		register("1", 2)
		require.Less(t, register("2", 1), time.Second+100*time.Millisecond)
	})
}

// What the members are asked before they notice that the leader is gone is lost, also if it is repeated.
func TestNothingWaitsForRequestsThatWereLostInAnElection(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(40), 5*time.Second)
		time.Sleep(10 * time.Second)
		elected := e.Ignore(etcdfake.Anything, etcdfake.Always)
		time.AfterFunc(1700*time.Millisecond, elected)
		began := time.Now()
		other := greeter(1)
		other.Name = "other"
		var calls sync.WaitGroup
		calls.Go(func() { assert.NoError(t, r.Deregister(greeter(1))) })
		calls.Go(func() { assert.NoError(t, r.Register(other, registry.RegisterTTL(testTTL))) })
		calls.Go(func() {
			_, err := r.GetService("nobody")
			assert.ErrorIs(t, err, registry.ErrNotFound)
		})
		calls.Wait()
		require.Less(t, time.Since(began), 3*time.Second)
		time.Sleep(10 * time.Second)
		require.Zero(t, r.metrics.Leases.Get(metrics.LeaseLost))
	})
}

// Of the 64 repetitions that there may be 63 are those of other calls. etcd is slow, and the first try fails.
func TestALoneRepetitionDoesNotGiveWay(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		looked(t, r, "greeter")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		var others sync.WaitGroup
		for range 21 {
			others.Go(func() {
				_, _ = etcdconn.Do(ctx, r.connector, func(ctx context.Context, _ *etcdconn.Client) (*clientv3.GetResponse, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				})
			})
		}
		time.Sleep(5 * time.Second) // each has three
		e.On(etcdfake.Puts, 1, func(ctx context.Context, _ func() (any, error)) (any, error) {
			e.Wait(ctx, 700*time.Millisecond)
			return nil, etcdfake.ErrUnavailable
		})
		e.On(etcdfake.Puts, etcdfake.Always, func(ctx context.Context, answer func() (any, error)) (any, error) {
			e.Wait(ctx, 2*time.Second)
			if ctx.Err() != nil {
				return nil, status.FromContextError(ctx.Err()).Err()
			}
			return answer()
		})
		began := time.Now()
		mustRegister(t, r, greeter(1), testTTL)
		require.Less(t, time.Since(began), 3*time.Second)
		cancel()
		others.Wait()
	})
}
