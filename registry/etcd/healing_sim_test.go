package etcd

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
)

const (
	greeterDir = DefaultPrefix + "greeter/"
	greeterKey = greeterDir + "n1"
	testTTL    = 30 * time.Second
)

// greeter returns a service with some nodes.
func greeter(nodes int) *registry.Service {
	s := &registry.Service{Name: "greeter", Version: "1"}
	for i := range nodes {
		s.Nodes = append(s.Nodes, &registry.Node{Id: fmt.Sprint("n", i+1), Address: "a:1"})
	}
	return s
}

func mustRegister(t *testing.T, r *Registry, s *registry.Service, ttl time.Duration) {
	t.Helper()
	require.NoError(t, r.Register(s, registry.RegisterTTL(ttl)))
}

// What happens to a record or its lease while its process lives, which needs nothing to be mended.
var harms = map[string]func(*fakeEtcd){
	"lease revoked":            func(e *fakeEtcd) { e.RevokeAll() },
	"key deleted":              func(e *fakeEtcd) { e.Remove(greeterKey) },
	"whole prefix deleted":     func(e *fakeEtcd) { e.Remove(DefaultPrefix) },
	"key overwritten by junk":  func(e *fakeEtcd) { e.PutKey(greeterKey, "junk", 0) },
	"deleted while cut off":    func(e *fakeEtcd) { e.Cut(); e.Remove(greeterKey); e.Mend() },
	"deleted and compacted":    func(e *fakeEtcd) { e.Cut(); e.Remove(greeterKey); e.CompactNow(); e.Mend() },
	"watch canceled":           func(e *fakeEtcd) { e.CancelWatches(""); e.Remove(greeterKey) },
	"watch canceled by reason": func(e *fakeEtcd) { e.CancelWatches("etcdserver: mvcc: whatever"); e.Remove(greeterKey) },
	"streams ended":            func(e *fakeEtcd) { e.EndStreams(etcdfake.ErrUnavailable); e.Remove(greeterKey) },
	"leader lost": func(e *fakeEtcd) {
		elect := e.LoseLeader()
		time.Sleep(2 * time.Second)
		e.Remove(greeterKey)
		elect()
	},
}

func TestARecordIsBackWithinASecond(t *testing.T) {
	for name, harm := range harms {
		for _, ttl := range []time.Duration{testTTL, 0} {
			t.Run(name+", TTL "+ttl.String(), func(t *testing.T) {
				withFake(t, func(t *testing.T, e *fakeEtcd) {
					provider, _ := e.newRegistry(t)
					other, _ := e.newRegistry(t)
					mustRegister(t, provider, greeter(1), ttl)
					f := newFollower(t, other, "greeter")
					time.Sleep(time.Minute)
					for range 2 {
						harm(e)
						await(t, time.Second, "the record is back", func() bool { return e.has(greeter(1)) })
						await(t, time.Second, "others see it", func() bool { return e.differ("greeter", other, f) == "" })
						time.Sleep(3 * testTTL)
						require.True(t, e.has(greeter(1)), "it is kept alive")
						require.Empty(t, e.differ("greeter", other, f))
					}
					require.NoError(t, provider.Close())
					require.Zero(t, e.leaseCount())
					require.Empty(t, e.truth("greeter"))
				})
			})
		}
	}
}

func TestEveryRecordIsBackWithinASecond(t *testing.T) {
	for _, name := range []string{"lease revoked", "whole prefix deleted"} {
		withFake(t, func(t *testing.T, e *fakeEtcd) {
			r, _ := e.newRegistry(t)
			mustRegister(t, r, greeter(50), testTTL)
			time.Sleep(time.Minute)
			harms[name](e)
			await(t, time.Second, "all records are back", func() bool { return e.has(greeter(50)) })
		})
	}
}

// What the etcd client and the network do to renewals doesn't cost a living lease.
func TestALeaseSurvivesWhatOnlySeemsToBeItsLoss(t *testing.T) {
	for name, harm := range map[string]func(*fakeEtcd){
		"etcd says once that there is none": func(e *fakeEtcd) { e.DenyLease(1) },
		"streams ended":                     func(e *fakeEtcd) { e.EndStreams(etcdfake.ErrUnavailable) },
		"renewals unanswered for a while": func(e *fakeEtcd) {
			mend := e.Ignore(etcdfake.Renewals, etcdfake.Always)
			time.Sleep(testTTL*2/3 - time.Second) // the lease may have been renewed a third before
			mend()
			e.EndStreams(etcdfake.ErrUnavailable)
		},
		"cut off for half a TTL": func(e *fakeEtcd) {
			e.Cut()
			time.Sleep(testTTL / 2)
			e.Mend()
		},
		"black hole for half a TTL": func(e *fakeEtcd) {
			e.Hold(true, false)
			time.Sleep(testTTL / 2)
			e.Mend()
		},
		"requests vanish for half a TTL": func(e *fakeEtcd) {
			e.Hold(true)
			time.Sleep(testTTL / 2)
			e.Mend()
		},
		"answers vanish for half a TTL": func(e *fakeEtcd) {
			e.Hold(false)
			time.Sleep(testTTL / 2)
			e.Mend()
		},
		"slow network": func(e *fakeEtcd) {
			e.Slow(900 * time.Millisecond)
			time.Sleep(3 * testTTL)
			e.Mend()
		},
		"no leader for two TTLs": func(e *fakeEtcd) {
			elect := e.LoseLeader()
			time.Sleep(2 * testTTL)
			elect()
		},
		"etcd down for two TTLs, and its clock with it": func(e *fakeEtcd) {
			e.Stop()
			time.Sleep(2 * testTTL)
			e.Start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, _ := e.newRegistry(t)
				mustRegister(t, r, greeter(1), testTTL)
				_, lease, _ := e.value(greeterKey)
				time.Sleep(time.Minute)
				for range 2 {
					harm(e)
					time.Sleep(3 * testTTL)
				}
				_, now, _ := e.value(greeterKey)
				require.Equal(t, lease, now)
				require.Zero(t, e.losses(greeterKey))
			})
		})
	}
}

// The first answer to a keepalive is late: the etcd client closes the channel although the lease lives (client/v3
// lease.go, firstKeepAliveTimeout).
func TestALateFirstRenewalDoesNotCostTheLease(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mend := e.Ignore(etcdfake.Renewals, etcdfake.Always)
		mustRegister(t, r, greeter(1), time.Minute)
		time.Sleep(10 * time.Second)
		mend()
		e.EndStreams(etcdfake.ErrUnavailable)
		time.Sleep(10 * time.Minute)
		require.Zero(t, e.losses(greeterKey))
		require.Equal(t, 1, e.requests("LeaseGrant"))
	})
}
