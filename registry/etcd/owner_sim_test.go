package etcd

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
)

// stored is what another process would put for a service with one node.
func stored(s *registry.Service) string {
	value, _ := json.Marshal(s)
	return string(value)
}

// rival is the greeter at another address.
func rival() *registry.Service {
	s := greeter(1)
	s.Nodes[0].Address = "rival:1"
	return s
}

func TestTwoOwnersOfOneIDDontFight(t *testing.T) {
	for _, ttl := range []time.Duration{testTTL, 0} {
		t.Run(ttl.String(), func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				first, logs := e.newRegistry(t)
				second, _ := e.newRegistry(t)
				mustRegister(t, first, greeter(1), ttl)
				time.Sleep(time.Minute)
				mustRegister(t, second, rival(), ttl)
				before := e.Revision()
				for range 20 { // both tick, as go-micro does
					time.Sleep(30 * time.Second)
					mustRegister(t, first, greeter(1), ttl)
					mustRegister(t, second, rival(), ttl)
				}
				require.Equal(t, before, e.Revision(), "nobody writes")
				require.Equal(t, "superseded", first.Status().Registrations[0].State)
				require.Len(t, logs.logged(), 1, "it is said once")

				require.NoError(t, second.Close())
				await(t, time.Second, "the first one is back", func() bool { return e.has(greeter(1)) })
				require.Equal(t, "registered", first.Status().Registrations[0].State)
			})
		})
	}
}

func TestTheOneStandingByIsBackWhenTheOtherDies(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(1), testTTL)
		for range 3 {
			time.Sleep(time.Minute)
			lease := e.GrantLease(10)
			e.PutKey(greeterKey, stored(rival()), lease)
			time.Sleep(9 * time.Second)
			require.True(t, e.has(rival()))
			time.Sleep(time.Second) // its lease runs out
			await(t, time.Second, "ours is back", func() bool { return e.has(greeter(1)) })
		}
	})
}

// A process that was stopped for longer than its TTL wakes up to find its id taken.
func TestAProcessThatWakesUpLeavesTheNewOwnerAlone(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(1), testTTL)
		time.Sleep(time.Minute)
		e.Hold(true, false)
		time.Sleep(2 * testTTL)
		lease := e.GrantLease(3600)
		e.PutKey(greeterKey, stored(rival()), lease)
		before := e.Revision()
		e.Mend()
		for range 20 {
			time.Sleep(30 * time.Second)
			mustRegister(t, r, greeter(1), testTTL)
		}
		require.Equal(t, before, e.Revision())
		e.Revoke(lease)
		await(t, time.Second, "ours is back", func() bool { return e.has(greeter(1)) })
	})
}

func TestALateDeregisterLeavesTheNewOwnerAlone(t *testing.T) {
	for name, meanwhile := range map[string]func(*fakeEtcd){
		"at once":             func(*fakeEtcd) {},
		"after a minute":      func(*fakeEtcd) { time.Sleep(time.Minute) },
		"after the own lease": func(e *fakeEtcd) { e.Cut(); time.Sleep(2 * testTTL); e.Mend() },
	} {
		for _, ttl := range []time.Duration{testTTL, 0} {
			t.Run(name+", TTL "+ttl.String(), func(t *testing.T) {
				withFake(t, func(t *testing.T, e *fakeEtcd) {
					r, _ := e.newRegistry(t)
					mustRegister(t, r, greeter(1), ttl)
					time.Sleep(time.Minute)
					e.PutKey(greeterKey, stored(rival()), e.GrantLease(3600))
					meanwhile(e)
					require.NoError(t, r.Deregister(greeter(1)))
					require.NoError(t, r.Deregister(greeter(1)), "again")
					require.True(t, e.has(rival()))
					require.NoError(t, r.Close())
					require.True(t, e.has(rival()))
					require.Equal(t, 1, e.leaseCount(), "only the other one's")
				})
			})
		}
	}
}

// A put whose answer never came may have happened, or may happen yet. Whatever it is, the record is there when Register
// or its repetition says so, and gone after Deregister.
func TestAPutOfUnknownOutcome(t *testing.T) {
	for name, harm := range map[string]func(*fakeEtcd){
		"done, not answered":     func(e *fakeEtcd) { e.LoseAnswers(etcdfake.Puts, 1) },
		"never done":             func(e *fakeEtcd) { e.Ignore(etcdfake.Puts, 1) },
		"done a second too late": func(e *fakeEtcd) { e.DelayPast(etcdfake.Puts, 1, time.Second) },
		"done 12 s too late":     func(e *fakeEtcd) { e.DelayPast(etcdfake.Puts, 1, 12*time.Second) },
		"twice, and too late":    func(e *fakeEtcd) { e.DelayPast(etcdfake.Puts, 2, 5*time.Second) },
	} {
		for _, ttl := range []time.Duration{testTTL, 0} {
			t.Run(name+", TTL "+ttl.String(), func(t *testing.T) {
				withFake(t, func(t *testing.T, e *fakeEtcd) {
					r, _ := e.newRegistry(t)
					f := newFollower(t, r, "greeter")
					harm(e)
					began := time.Now()
					require.NoError(t, r.Register(greeter(1), registry.RegisterTTL(ttl)))
					require.LessOrEqual(t, time.Since(began), 5*time.Second)
					require.True(t, e.has(greeter(1)))
					require.Empty(t, e.differ("greeter", r))
					time.Sleep(time.Minute)
					require.Empty(t, e.differ("greeter", r, f))

					changed := rival()
					harm(e)
					require.NoError(t, r.Register(changed, registry.RegisterTTL(ttl)))
					require.True(t, e.has(changed))
					time.Sleep(time.Minute)
					require.True(t, e.has(changed), "what lands late is put right")
					require.Empty(t, e.differ("greeter", r, f))

					require.NoError(t, r.Deregister(changed))
					harm(e)
					go func() { _ = r.Register(greeter(1), registry.RegisterTTL(ttl)) }()
					time.Sleep(100 * time.Millisecond)
					require.NoError(t, r.Deregister(greeter(1)))
					time.Sleep(time.Minute)
					require.Empty(t, e.truth("greeter"), "nothing lands after a Deregister and stays")
					require.Empty(t, e.differ("greeter", r, f))
					require.Zero(t, e.leaseCount())
				})
			})
		}
	}
}

// What is no record of our node stands for nobody, on a lease or not. It is overwritten, and doesn't hide the node
// elsewhere.
func TestNobodysRecordDoesNotTakeTheKey(t *testing.T) {
	other := rival()
	other.Nodes[0].Id = "zzz"
	for name, value := range map[string]string{
		"junk": "junk", "an empty object": "{}", "null": "null", "another node's record": stored(other),
	} {
		for _, leased := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", leased ", leased), func(t *testing.T) {
				withFake(t, func(t *testing.T, e *fakeEtcd) {
					r, logs := e.newRegistry(t)
					mustRegister(t, r, greeter(1), testTTL)
					var lease int64
					if leased {
						lease = e.GrantLease(3600)
					}
					e.PutKey(greeterKey, value, lease)
					await(t, time.Second, "ours is back", func() bool { return e.has(greeter(1)) })
					require.Empty(t, logs.logged())
				})
			})
		}
	}
}

func TestARecordElsewhereDoesNotHideTheNode(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(1), testTTL)
		before := looked(t, r, "greeter").lines()
		e.PutKey(greeterDir+"zzz", stored(rival()), 0)
		time.Sleep(time.Second)
		require.Equal(t, before, looked(t, r, "greeter").lines())
	})
}
