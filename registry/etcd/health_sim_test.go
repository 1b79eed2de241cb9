package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/retry"
	"github.com/micro-etcd/micro-etcd/registry/health"
)

const noticeKey = DefaultPrefix + "greeter/.out-of-service/n1"

// illness is a check that says what a test wants.
type illness struct{ err atomic.Pointer[error] }

func (i *illness) fall(why string) { err := errors.New(why); i.err.Store(&err) }
func (i *illness) recover()        { i.err.Store(nil) }

func (i *illness) check() health.Check {
	return health.Func("illness", func(context.Context) error {
		if err := i.err.Load(); err != nil {
			return *err
		}
		return nil
	})
}

// notice returns the notice of the greeter, nil for none.
func (e *fakeEtcd) notice(t *testing.T) *catalog.Notice {
	t.Helper()
	value, lease, ok := e.value(noticeKey)
	if !ok {
		return nil
	}
	require.NotZero(t, lease)
	n, err := catalog.DecodeNotice([]byte(value))
	require.NoError(t, err)
	return n
}

// others keeps n more greeters registered, so that one may leave.
func (e *fakeEtcd) others(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		e.PutKey(fmt.Sprint(DefaultPrefix, "greeter/other-", i), stored(&registry.Service{
			Name: "greeter", Version: "1", Nodes: []*registry.Node{{Id: fmt.Sprint("other-", i), Address: "o:1"}},
		}), e.GrantLease(100_000))
	}
}

func (e *fakeEtcd) drain(t *testing.T, d time.Duration) {
	t.Helper()
	e.drainNode(t, "n1", d)
}

// drainNode does what the command does.
func (e *fakeEtcd) drainNode(t *testing.T, id string, d time.Duration) {
	t.Helper()
	keys := catalog.Keyspace{Prefix: DefaultPrefix}
	greeterKey := keys.Node("greeter", id)
	noticeKey := keys.Notice(greeterKey)
	c := e.NewClient(t)
	got, err := c.Get(t.Context(), greeterKey)
	require.NoError(t, err)
	require.Len(t, got.Kvs, 1)
	n := catalog.Notice{Reason: "deploy", By: "alice@ops", Since: time.Now().UTC(), Record: got.Kvs[0].Value}
	if d > 0 {
		n.Until = n.Since.Add(d)
	}
	value, err := catalog.EncodeNotice(n)
	require.NoError(t, err)
	done, err := c.Txn(t.Context()).
		If(clientv3.Compare(clientv3.ModRevision(greeterKey), "=", got.Kvs[0].ModRevision)).
		Then(clientv3.OpPut(noticeKey, string(value), clientv3.WithLease(clientv3.LeaseID(got.Kvs[0].Lease))),
			clientv3.OpDelete(greeterKey)).Commit()
	require.NoError(t, err)
	require.True(t, done.Succeeded)
}

func (e *fakeEtcd) undrain(t *testing.T) {
	t.Helper()
	require.True(t, e.tryUndrain(t))
}

func (e *fakeEtcd) tryUndrain(t *testing.T) bool {
	t.Helper()
	c := e.NewClient(t)
	got, err := c.Get(t.Context(), noticeKey)
	require.NoError(t, err)
	if len(got.Kvs) == 0 {
		return true // it is in service
	}
	n, err := catalog.DecodeNotice(got.Kvs[0].Value)
	require.NoError(t, err)
	done, err := c.Txn(t.Context()).
		If(clientv3.Compare(clientv3.ModRevision(noticeKey), "=", got.Kvs[0].ModRevision),
			clientv3.Compare(clientv3.CreateRevision(greeterKey), "=", 0)).
		Then(clientv3.OpDelete(noticeKey),
			clientv3.OpPut(greeterKey, string(n.Record), clientv3.WithLease(clientv3.LeaseID(got.Kvs[0].Lease)))).Commit()
	require.NoError(t, err)
	return done.Succeeded
}

// withSick runs a test with a greeter that is well, and that may leave.
func withSick(t *testing.T, test func(*testing.T, *fakeEtcd, *Registry, *recorder, *illness)) {
	t.Helper()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.others(t, 3)
		i := &illness{}
		r, logs := e.newRegistry(t, HealthCheck(i.check()))
		mustRegister(t, r, greeter(1), testTTL)
		time.Sleep(time.Minute)
		require.True(t, e.has(greeter(1)))
		test(t, e, r, logs, i)
	})
}

const leaveTime = 20 * time.Second // three failures of a check each five seconds, and what a try takes

func (e *fakeEtcd) fallSick(t *testing.T, i *illness) {
	t.Helper()
	i.fall("database is away")
	await(t, leaveTime, "out of service", func() bool { return e.notice(t) != nil })
	require.False(t, e.has(greeter(1)))
}

func TestASickNodeLeavesAndComesBackByItself(t *testing.T) {
	withSick(t, func(t *testing.T, e *fakeEtcd, r *Registry, logs *recorder, i *illness) {
		consumer, _ := e.newRegistry(t)
		f := newFollower(t, consumer, "greeter")
		looked(t, consumer, "greeter")
		require.NoError(t, r.Ready())
		e.fallSick(t, i)

		n := e.notice(t)
		require.Equal(t, `check "illness": database is away`, n.Reason)
		require.Empty(t, n.By)
		require.WithinDuration(t, time.Now(), n.Since, time.Second)
		require.Equal(t, stored(greeter(1)), string(n.Record))
		s := r.Status().Registrations[0]
		require.Equal(t, "out-of-service", s.State)
		require.Equal(t, n.Reason, s.OutOfService.Reason)
		require.Equal(t, "failing", s.Checks[0].State)
		require.ErrorIs(t, r.Ready(), ErrOutOfService)
		for range 20 { // as go-micro's server does
			time.Sleep(30 * time.Second)
			require.NoError(t, r.Register(greeter(1), registry.RegisterTTL(testTTL)))
			require.False(t, e.has(greeter(1)), "nobody heals it")
			require.Empty(t, e.differ("greeter", consumer, f))
		}
		i.recover()
		await(t, leaveTime, "in service", func() bool { return e.has(greeter(1)) })
		require.Nil(t, e.notice(t))
		require.NoError(t, r.Ready())
		require.Zero(t, r.Status().Registrations[0].Restored, "nothing was put back that was lost")
		time.Sleep(time.Minute)
		require.Empty(t, e.differ("greeter", consumer, f))
		require.Equal(t, []string{
			`registration ` + greeterKey + ` is out of service: check "illness": database is away`,
			`registration ` + greeterKey + ` is in service again`,
		}, said(logs))
	})
}

// said returns what was logged, without what each line begins with.
func said(logs *recorder) []string {
	var lines []string
	for _, line := range logs.logged() {
		_, text, _ := strings.Cut(line, "etcd registry: ")
		lines = append(lines, text)
	}
	return lines
}

func TestACheckThatNeverPassedDoesntCount(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.others(t, 3)
		i := &illness{}
		i.fall("wrong port")
		check := i.check()
		check.FailureThreshold = 1
		r, logs := e.newRegistry(t, HealthCheck(check))
		mustRegister(t, r, greeter(1), testTTL)
		time.Sleep(10 * time.Minute)
		require.True(t, e.has(greeter(1)))
		require.Equal(t, "never-passed", r.Status().Registrations[0].Checks[0].State)
		require.Equal(t, []string{
			`check "illness" of registration ` + greeterKey + ` has never passed, so it doesn't count: wrong port`,
		}, said(logs))
	})
}

func TestRegisterDoesntWaitForAHangingCheckAndNeitherDoesClose(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		release := make(chan struct{})
		defer close(release)
		r, _ := e.newRegistry(t, HealthCheck(health.Func("hangs", func(context.Context) error { <-release; return nil })))
		began := time.Now()
		mustRegister(t, r, greeter(1), testTTL)
		time.Sleep(time.Minute)
		require.NoError(t, r.Close())
		require.Less(t, time.Since(began), time.Minute+5*time.Second)
		require.False(t, e.has(greeter(1)))
	})
}

func TestTheBrokersNodesArentChecked(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		i := &illness{}
		r, _ := e.newRegistry(t, HealthCheck(i.check()))
		s := greeter(1)
		s.Name = "micro.http.broker"
		mustRegister(t, r, s, testTTL)
		time.Sleep(time.Minute)
		require.Empty(t, r.Status().Registrations[0].Checks)
	})
}

func TestTheLastNodeIsHeldInService(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		i := &illness{}
		r, logs := e.newRegistry(t, HealthCheck(i.check()))
		mustRegister(t, r, greeter(1), testTTL)
		time.Sleep(time.Minute)
		i.fall("sick")
		time.Sleep(5 * time.Minute)
		require.True(t, e.has(greeter(1)))
		require.Equal(t, "1 of 1 nodes are in service, and at most half may be out", r.Status().Registrations[0].Held)
		require.Equal(t, "registered", r.Status().Registrations[0].State)
		require.Equal(t, []string{
			"registration " + greeterKey + " fails its checks, but is held in service: 1 of 1 nodes are in service, and at most half may be out",
		}, said(logs))
		e.others(t, 1)
		await(t, time.Minute, "may leave now", func() bool { return e.notice(t) != nil })
		require.Empty(t, r.Status().Registrations[0].Held)
		i.recover()
		await(t, leaveTime, "is back", func() bool { return e.has(greeter(1)) })
	})
}

// All fall sick at the same instant; what was out at any revision is counted from etcd's history.
func TestTheBrakeHoldsWhenAllFallSickAtOnce(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		const fleet = 20
		i := &illness{}
		for n := range fleet {
			r, _ := e.newRegistry(t, HealthCheck(i.check()))
			mustRegister(t, r, &registry.Service{
				Name: "greeter", Version: "1", Nodes: []*registry.Node{{Id: fmt.Sprint("n", n), Address: "a:1"}},
			}, time.Hour)
		}
		time.Sleep(time.Minute)
		i.fall("shared database is away")
		time.Sleep(5 * time.Minute)
		in, out := e.fewest()
		require.Equal(t, fleet/2, in)
		require.Equal(t, fleet/2, out)
		i.recover()
		time.Sleep(time.Minute)
		got, err := e.NewClient(t).Get(t.Context(), DefaultPrefix+"greeter/.out-of-service/", clientv3.WithPrefix())
		require.NoError(t, err)
		require.Empty(t, got.Kvs)
	})
}

// fewest returns how many greeters were in service at the worst moment since all were there, and the most notices.
func (e *fakeEtcd) fewest() (in, out int) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	now := make(map[string]bool)
	full := 0
	for at, event := range e.Store.Events {
		if event.Type == clientv3.EventTypePut {
			now[string(event.Kv.Key)] = true
		} else {
			delete(now, string(event.Kv.Key))
		}
		if at+1 < len(e.Store.Events) && e.Store.Events[at+1].Kv.ModRevision == event.Kv.ModRevision {
			continue
		}
		notices := 0
		for key := range now {
			if strings.Contains(key, "/.out-of-service/") {
				notices++
			}
		}
		records := len(now) - notices
		if full = max(full, len(now)); len(now) == full && notices > 0 && (in == 0 || records < in) {
			in = records
		}
		out = max(out, notices)
	}
	return in, out
}

func TestADrainHoldsAndIsAcknowledgedAndEnds(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *fakeEtcd){
		"undrain":               func(t *testing.T, e *fakeEtcd) { t.Helper(); e.undrain(t) },
		"the notice is removed": func(_ *testing.T, e *fakeEtcd) { e.Remove(noticeKey) },
	} {
		t.Run(name, func(t *testing.T) {
			withSick(t, func(t *testing.T, e *fakeEtcd, r *Registry, logs *recorder, i *illness) {
				e.drain(t, 0)
				await(t, 2*time.Second, "acknowledged", func() bool { return !e.notice(t).Acknowledged.IsZero() })
				i.fall("sick, too")
				for range 10 {
					time.Sleep(30 * time.Second)
					require.NoError(t, r.Register(greeter(1), registry.RegisterTTL(testTTL)))
					require.False(t, e.has(greeter(1)))
				}
				require.Equal(t, "alice@ops", r.Status().Registrations[0].OutOfService.By)
				i.recover()
				time.Sleep(5 * time.Minute)
				require.False(t, e.has(greeter(1)), "it is well, but drained")
				end(t, e)
				await(t, time.Second, "in service", func() bool { return e.has(greeter(1)) && e.notice(t) == nil })
				time.Sleep(time.Minute)
				require.True(t, e.has(greeter(1)))
				require.Equal(t, "registered", r.Status().Registrations[0].State)
				require.Zero(t, r.Status().Registrations[0].Restored)
				require.Equal(t, []string{
					`registration ` + greeterKey + ` is out of service: drained by "alice@ops": "deploy"`,
					`registration ` + greeterKey + ` is in service again`,
				}, said(logs))
			})
		})
	}
}

func TestADrainEndsWhenItsTimeIsOver(t *testing.T) {
	withSick(t, func(t *testing.T, e *fakeEtcd, _ *Registry, _ *recorder, _ *illness) {
		e.drain(t, 10*time.Minute)
		time.Sleep(10*time.Minute - time.Second)
		require.False(t, e.has(greeter(1)))
		await(t, 3*time.Second, "in service", func() bool { return e.has(greeter(1)) && e.notice(t) == nil })
	})
}

func TestWhatAProcessDoesWhileItsNodeIsOutOfService(t *testing.T) {
	changed := rival()
	for _, drained := range []bool{true, false} {
		for name, c := range map[string]struct {
			do  func(*testing.T, *fakeEtcd, *Registry)
			now func(*fakeEtcd, *catalog.Notice) bool // within a moment, and for long
		}{
			"Register with another address": {
				func(t *testing.T, _ *fakeEtcd, r *Registry) { t.Helper(); mustRegister(t, r, changed, testTTL) },
				func(e *fakeEtcd, n *catalog.Notice) bool {
					return n != nil && string(n.Record) == stored(changed) && !e.has(changed)
				},
			},
			"Register with another TTL": {
				func(t *testing.T, _ *fakeEtcd, r *Registry) { t.Helper(); mustRegister(t, r, greeter(1), 2*testTTL) },
				func(e *fakeEtcd, n *catalog.Notice) bool { return n != nil && !e.has(greeter(1)) },
			},
			"Deregister": {
				func(t *testing.T, _ *fakeEtcd, r *Registry) { t.Helper(); require.NoError(t, r.Deregister(greeter(1))) },
				func(e *fakeEtcd, n *catalog.Notice) bool { return n == nil && !e.has(greeter(1)) },
			},
			"Deregister, and Register while that is under way": {
				func(t *testing.T, e *fakeEtcd, r *Registry) {
					t.Helper()
					e.Slow(50 * time.Millisecond)
					var deregistering sync.WaitGroup
					deregistering.Go(func() { _ = r.Deregister(greeter(1)) }) // the Register may come first
					time.Sleep(60 * time.Millisecond)
					mustRegister(t, r, greeter(1), testTTL)
					deregistering.Wait()
				},
				func(e *fakeEtcd, n *catalog.Notice) bool { return (n == nil) == e.has(greeter(1)) }, // a drain may stay
			},
			"Deregister while etcd is away, and Register": {
				func(t *testing.T, e *fakeEtcd, r *Registry) {
					t.Helper()
					e.Cut()
					require.Error(t, r.Deregister(greeter(1)))
					require.Error(t, r.Register(greeter(1), registry.RegisterTTL(testTTL)))
					e.Mend()
				},
				func(e *fakeEtcd, n *catalog.Notice) bool { return (n == nil) == e.has(greeter(1)) }, // a drain may stay
			},
			"renewals are refused for a while": {
				func(_ *testing.T, e *fakeEtcd, _ *Registry) {
					permit := e.Forbid(DefaultPrefix)
					time.Sleep(testTTL / 2)
					permit()
					time.Sleep(retry.MaxRefused + time.Second) // what was refused is tried again as late as that
				},
				func(e *fakeEtcd, n *catalog.Notice) bool { return n != nil && !e.has(greeter(1)) },
			},
			"another process deregisters it": {
				func(t *testing.T, e *fakeEtcd, _ *Registry) {
					t.Helper()
					other, _ := e.newRegistry(t)
					require.NoError(t, other.Deregister(greeter(1)))
				},
				func(e *fakeEtcd, n *catalog.Notice) bool { return (n == nil) == e.has(greeter(1)) },
			},
			"Close": {
				func(t *testing.T, _ *fakeEtcd, r *Registry) { t.Helper(); require.NoError(t, r.Close()) },
				func(e *fakeEtcd, n *catalog.Notice) bool { return n == nil && !e.has(greeter(1)) },
			},
			"its lease is revoked": {
				func(_ *testing.T, e *fakeEtcd, _ *Registry) { _, lease, _ := e.value(noticeKey); e.Revoke(lease) },
				func(e *fakeEtcd, n *catalog.Notice) bool { return n != nil && !e.has(greeter(1)) },
			},
			"etcd is away for longer than its TTL": {
				func(_ *testing.T, e *fakeEtcd, _ *Registry) { e.Cut(); time.Sleep(3 * testTTL); e.Mend() },
				func(e *fakeEtcd, n *catalog.Notice) bool { return n != nil && !e.has(greeter(1)) },
			},
			"etcd's data are lost": {
				func(t *testing.T, e *fakeEtcd, _ *Registry) { t.Helper(); e.Wipe(); e.others(t, 3) },
				func(e *fakeEtcd, n *catalog.Notice) bool { return n != nil && !e.has(greeter(1)) },
			},
			"junk is put at its key": {
				func(_ *testing.T, e *fakeEtcd, _ *Registry) { e.PutKey(greeterKey, "junk", 0) },
				func(e *fakeEtcd, n *catalog.Notice) bool {
					_, _, there := e.value(greeterKey)
					return n != nil && !there
				},
			},
			"another process takes its id": {
				func(_ *testing.T, e *fakeEtcd, _ *Registry) {
					e.PutKey(greeterKey, stored(changed), e.GrantLease(100_000))
				},
				func(e *fakeEtcd, n *catalog.Notice) bool { return n == nil && e.has(changed) },
			},
			"another process with this plugin takes its id": {
				func(t *testing.T, e *fakeEtcd, _ *Registry) {
					t.Helper()
					other, _ := e.newRegistry(t)
					mustRegister(t, other, changed, testTTL)
				},
				func(e *fakeEtcd, n *catalog.Notice) bool { return n == nil && e.has(changed) },
			},
		} {
			t.Run(fmt.Sprintf("drained %t: %s", drained, name), func(t *testing.T) {
				withSick(t, func(t *testing.T, e *fakeEtcd, r *Registry, _ *recorder, i *illness) {
					if drained {
						e.drain(t, 0)
						time.Sleep(time.Second)
					} else {
						e.fallSick(t, i)
					}
					c.do(t, e, r)
					await(t, repairTime, name, func() bool { return c.now(e, e.notice(t)) })
					for range 30 {
						time.Sleep(10 * time.Second)
						require.True(t, c.now(e, e.notice(t)), "it stays so")
					}
				})
			})
		}
	}
}

// A drain is of a process, not of an id.
func TestANewProcessWithADrainedIDIsInService(t *testing.T) {
	withSick(t, func(t *testing.T, e *fakeEtcd, r *Registry, _ *recorder, _ *illness) {
		e.drain(t, 0)
		time.Sleep(time.Second)
		again, _ := e.newRegistry(t)
		mustRegister(t, again, greeter(1), testTTL)
		await(t, time.Second, "in service", func() bool { return e.has(greeter(1)) && e.notice(t) == nil })
		await(t, time.Second, "superseded", func() bool { return r.Status().Registrations[0].State == "superseded" })
		require.NoError(t, r.Close())
		time.Sleep(time.Minute)
		require.True(t, e.has(greeter(1)))
	})
}

// An undrain that etcd has taken isn't taken back by a Register with another TTL that was on its way.
func TestAnUndrainBesideARegisterCounts(t *testing.T) {
	for delay := time.Duration(0); delay < 300*time.Millisecond; delay += 10 * time.Millisecond {
		withSick(t, func(t *testing.T, e *fakeEtcd, r *Registry, _ *recorder, _ *illness) {
			e.drain(t, 0)
			time.Sleep(time.Second)
			e.Slow(20 * time.Millisecond)
			var registering sync.WaitGroup
			registering.Go(func() { mustRegister(t, r, greeter(1), 2*testTTL) })
			time.Sleep(delay)
			for !e.tryUndrain(t) {
				time.Sleep(time.Millisecond)
			}
			registering.Wait()
			e.Slow(0)
			time.Sleep(10 * time.Second)
			require.True(t, e.has(greeter(1)), "undrained after %s", delay)
			require.Nil(t, e.notice(t))
		})
	}
}

// One stands by for another process with its id, also while that one is out of service.
func TestTheOneStandingByIsBackWhenADrainedOneDies(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(1), testTTL)
		e.PutKey(greeterKey, stored(rival()), e.GrantLease(600))
		time.Sleep(time.Second)
		e.drain(t, 0)
		time.Sleep(5 * time.Minute)
		require.False(t, e.has(greeter(1)))
		require.Equal(t, "superseded", r.Status().Registrations[0].State)
		_, lease, _ := e.value(noticeKey)
		e.Revoke(lease)
		await(t, time.Second, "ours is back", func() bool { return e.has(greeter(1)) })
	})
}

// Somebody drains all of a service with --force. That is no mass of losses.
func TestDrainedNodesHaveNoGrace(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(8), testTTL)
		consumer, _ := e.newRegistry(t)
		s := NewSelector(selector.Registry(consumer), Grace(time.Minute))
		defer func() { require.NoError(t, s.Close()) }()
		_, err := s.Select("greeter")
		require.NoError(t, err)
		for _, n := range greeter(8).Nodes {
			e.drainNode(t, n.Id, 0)
		}
		time.Sleep(time.Second)
		_, err = s.Select("greeter")
		require.ErrorIs(t, err, selector.ErrNotFound)
	})
}

func TestChecksCanBeReplacedAndTurnedOff(t *testing.T) {
	withSick(t, func(t *testing.T, e *fakeEtcd, r *Registry, _ *recorder, i *illness) {
		e.fallSick(t, i)
		require.NoError(t, r.Init(HealthCheck()))
		await(t, time.Second, "in service", func() bool { return e.has(greeter(1)) })
		require.Empty(t, r.Status().Registrations[0].Checks)
		require.NoError(t, r.Init(HealthCheck(health.Func("other", func(context.Context) error { return nil }))))
		time.Sleep(10 * time.Second)
		require.Equal(t, "passing", r.Status().Registrations[0].Checks[0].State)
		require.ErrorIs(t, r.Init(HealthCheck(health.Check{})), ErrOption)
		synctest.Wait()
	})
}

func TestTheReasonIsACheckThatFails(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.others(t, 3)
		first, second := &illness{}, &illness{}
		other := second.check()
		other.Name = "other"
		r, _ := e.newRegistry(t, HealthCheck(first.check(), other))
		mustRegister(t, r, greeter(1), testTTL)
		time.Sleep(time.Minute)
		e.fallSick(t, first)
		second.fall("queue is full")
		time.Sleep(time.Minute)
		require.Equal(t, `check "illness": database is away`, e.notice(t).Reason, "that one still fails")
		first.recover()
		await(t, leaveTime, "another reason", func() bool {
			return e.notice(t) != nil && e.notice(t).Reason == `check "other": queue is full`
		})
		require.ErrorContains(t, r.Ready(), "queue is full")
		require.False(t, e.has(greeter(1)), "it was out all the time")
		second.recover()
		await(t, leaveTime, "in service", func() bool { return e.has(greeter(1)) })
	})
}

func TestACheckOfTheSameNameGoesOnFromWhatItKnows(t *testing.T) {
	withSick(t, func(t *testing.T, e *fakeEtcd, r *Registry, _ *recorder, i *illness) {
		other := health.Func("other", func(context.Context) error { return nil })
		e.fallSick(t, i)
		was := r.Status().Registrations[0]
		written := e.noticeRevision(t)
		require.NoError(t, r.Init(HealthCheck(other, i.check())))
		time.Sleep(time.Minute)
		require.Equal(t, written, e.noticeRevision(t), "it was in service")
		now := r.Status().Registrations[0]
		require.Equal(t, was.OutOfService, now.OutOfService)
		require.Equal(t, "passing", now.Checks[0].State)
		require.Equal(t, "failing", now.Checks[1].State)
		i.recover()
		await(t, leaveTime, "in service", func() bool { return e.has(greeter(1)) })

		e.fallSick(t, i)
		require.NoError(t, r.Init(HealthCheck(other)))
		await(t, leaveTime, "in service, since nothing fails any more", func() bool { return e.has(greeter(1)) })
	})
}

func (e *fakeEtcd) noticeRevision(t *testing.T) int64 {
	t.Helper()
	got, err := e.NewClient(t).Get(t.Context(), noticeKey)
	require.NoError(t, err)
	require.Len(t, got.Kvs, 1)
	return got.Kvs[0].ModRevision
}

// A node that falls sick while etcd is away leaves when it is back.
func TestANodeThatFallsSickWhileEtcdIsAwayLeavesLater(t *testing.T) {
	withSick(t, func(t *testing.T, e *fakeEtcd, r *Registry, _ *recorder, i *illness) {
		e.Cut()
		i.fall("sick")
		time.Sleep(testTTL / 2)
		require.NoError(t, r.Register(greeter(1), registry.RegisterTTL(testTTL)))
		e.Mend()
		await(t, 5*time.Second, "out of service", func() bool { return e.notice(t) != nil && !e.has(greeter(1)) })
		e.Cut()
		i.recover()
		time.Sleep(30 * time.Second)
		e.Mend()
		await(t, 5*time.Second, "in service", func() bool { return e.notice(t) == nil && e.has(greeter(1)) })
	})
}

func TestAHalfHealthyNodeDoesntFlap(t *testing.T) {
	withSick(t, func(t *testing.T, e *fakeEtcd, _ *Registry, _ *recorder, i *illness) {
		before := e.Revision()
		for range 20 {
			i.fall("sick")
			time.Sleep(20 * time.Second)
			i.recover()
			time.Sleep(20 * time.Second)
		}
		require.LessOrEqual(t, e.Revision()-before, int64(30), "20 times would be 40 changes")
	})
}
