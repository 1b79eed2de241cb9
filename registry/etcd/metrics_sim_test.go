package etcd

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc/codes"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
)

// Real etcd shows the other causes in test/metrics; these need its faults or its patience.

func TestCausesOfLists(t *testing.T) {
	for cause, harm := range map[metrics.ListCause]func(*fakeEtcd){
		metrics.ListPeriodic:   func(*fakeEtcd) { time.Sleep(reflector.MaxRelist) },
		metrics.ListWatchEnded: func(e *fakeEtcd) { e.CancelWatches("") },
		metrics.ListCountDiffers: func(e *fakeEtcd) {
			e.Mute(true)
			e.PutKey(greeterDir+"n2", "junk", 0)
			time.Sleep(time.Minute)
		},
	} {
		t.Run(metrics.ListCauses[cause], func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				provider, _ := e.newRegistry(t)
				mustRegister(t, provider, greeter(1), 0)
				r, _ := e.newRegistry(t)
				looked(t, r, "greeter")
				time.Sleep(time.Second) // in which the watch is opened
				harm(e)
				await(t, time.Minute, "a list", func() bool { return r.metrics.Lists.Get(cause) > 0 })
				require.Equal(t, 1, r.metrics.Lists.Get(metrics.ListFirst))
				for other := range metrics.ListCauses {
					if c := metrics.ListCause(other); c != cause && c != metrics.ListFirst {
						require.Zero(t, r.metrics.Lists.Get(c), metrics.ListCauses[c])
					}
				}
			})
		})
	}
}

func TestAListBecauseOfACompactionAfterTheOneBefore(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		e.On(etcdfake.Watches, 1, func(_ context.Context, answer func() (any, error)) (any, error) {
			e.Grow(e.Revision() + 2)
			e.CompactNow()
			return answer()
		})
		looked(t, r, "greeter")
		await(t, 2*time.Second, "a list", func() bool { return r.metrics.Lists.Get(metrics.ListCompacted) > 0 })
		require.Equal(t, 1, r.metrics.Lists.Get(metrics.ListFirst))
	})
}

func TestCausesOfReregistrations(t *testing.T) {
	for cause, harm := range map[metrics.RestoreCause]func(*testing.T, *fakeEtcd, *Registry){
		metrics.RestoreWatchEnded: func(_ *testing.T, e *fakeEtcd, _ *Registry) { harms["watch canceled"](e) },
		metrics.RestoreLeaseRefused: func(t *testing.T, e *fakeEtcd, r *Registry) {
			permit := e.Forbid(greeterDir)
			await(t, testTTL, "a refusal", func() bool { return r.metrics.Leases.Get(metrics.LeaseRefused) > 0 })
			permit()
		},
		// The key is seen to go first, and then the lease turns out to be gone.
		metrics.RestoreLeaseLost: func(_ *testing.T, e *fakeEtcd, _ *Registry) { e.RevokeAll() },
	} {
		t.Run(metrics.RestoreCauses[cause], func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, _ := e.newRegistry(t)
				mustRegister(t, r, greeter(1), testTTL)
				time.Sleep(time.Second)
				harm(t, e, r)
				await(t, time.Minute, "the record is back", func() bool { return e.has(greeter(1)) })
				time.Sleep(time.Second)
				for other := range metrics.RestoreCauses {
					c := metrics.RestoreCause(other)
					require.Equal(t, map[bool]int{true: 1}[c == cause], r.metrics.Reregistrations.Get(c), metrics.RestoreCauses[c])
				}
			})
		})
	}
}

func TestALostLeaseIsLostOnceAndARevokedOneIsNot(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(3), testTTL)
		leases := r.metrics.Leases.Get(metrics.LeaseGranted)
		e.RevokeAll()
		time.Sleep(testTTL)
		require.Equal(t, leases, r.metrics.Leases.Get(metrics.LeaseLost))
		require.Zero(t, r.metrics.Leases.Get(metrics.LeaseRevoked))
		require.NoError(t, r.Close())
		require.Equal(t, leases, r.metrics.Leases.Get(metrics.LeaseLost))
		require.Equal(t, r.metrics.Leases.Get(metrics.LeaseGranted)-leases, r.metrics.Leases.Get(metrics.LeaseRevoked))
	})
}

// collecting is a MeterProvider that makes whoever registers or unregisters a callback wait until a collection is over.
type collecting struct {
	noop.MeterProvider
	over chan struct{}
}

type collectingMeter struct {
	noop.Meter
	collecting
}

type collectingRegistration struct {
	noop.Registration
	collecting
}

func (c collecting) Meter(string, ...metric.MeterOption) metric.Meter {
	return collectingMeter{collecting: c}
}

func (m collectingMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	<-m.over
	return collectingRegistration{collecting: m.collecting}, nil
}

func (r collectingRegistration) Unregister() error { <-r.over; return nil }

func TestInitAndCloseWaitForACollectionAndNothingElseDoes(t *testing.T) {
	for name, call := range map[string]func(*Registry) error{
		"Init":  func(r *Registry) error { return r.Init(registry.Timeout(time.Second)) },
		"Close": (*Registry).Close,
	} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				over := make(chan struct{}, 1)
				over <- struct{}{} // New doesn't wait
				r, _ := e.newRegistry(t, MeterProvider(collecting{over: over}))
				mustRegister(t, r, greeter(1), testTTL)
				returned := make(chan error, 1)
				go func() { returned <- call(r) }()
				time.Sleep(time.Minute)
				require.Empty(t, returned, "the collection goes on")
				if name == "Init" {
					require.True(t, e.has(greeter(1)), "it was renewed meanwhile")
					looked(t, r, "greeter")
				}
				require.Equal(t, name == "Close", len(r.Status().Registrations) == 0)
				close(over)
				require.NoError(t, <-returned)
			})
		})
	}
}

func TestCodeNames(t *testing.T) {
	require.Len(t, metrics.CodeNames, 17, "gRPC has codes 0 to 16")
	require.Equal(t, "UNAUTHENTICATED", metrics.CodeNames[codes.Unauthenticated])
}
