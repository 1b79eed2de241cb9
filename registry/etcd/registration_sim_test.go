package etcd

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
	"github.com/micro-etcd/micro-etcd/internal/registration"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// there reports whether etcd has a node at an address.
func (e *fakeEtcd) there(name, id, address string) bool {
	for _, s := range e.truth(name) {
		for _, n := range s.Nodes {
			if n.Id == id && n.Address == address {
				return true
			}
		}
	}
	return false
}

// A wish stays until Deregister or Close, whatever errors there were.
func TestNothingLapses(t *testing.T) {
	for name, begin := range map[string]func(*testing.T, *fakeEtcd, *Registry){
		"never repeated after it failed": func(t *testing.T, e *fakeEtcd, r *Registry) {
			e.Cut()
			require.ErrorIs(t, r.Register(greeter(1), registry.RegisterTTL(testTTL)), ErrPending)
			e.Mend()
		},
		"a change of it fails in an outage": func(t *testing.T, e *fakeEtcd, r *Registry) {
			mustRegister(t, r, rival(), testTTL)
			e.Cut()
			require.ErrorIs(t, r.Register(greeter(1), registry.RegisterTTL(testTTL)), ErrPending)
			e.Mend()
		},
		"a change of it is refused": func(t *testing.T, e *fakeEtcd, r *Registry) {
			mustRegister(t, r, greeter(1), testTTL)
			allow := e.Refuse(etcdfake.Puts, rpctypes.ErrGRPCRequestTooLarge)
			require.ErrorIs(t, r.Register(rival(), registry.RegisterTTL(testTTL)), ErrTooLarge)
			allow()
		},
	} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, _ := e.newRegistry(t)
				begin(t, e, r)
				time.Sleep(time.Hour)
				require.True(t, e.there("greeter", "n1", "a:1"))
			})
		})
	}
}

func TestARegisterThatIsReplacedWaitsForTheNewerOne(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		e.Cut()
		replaced := make(chan error, 1)
		go func() { replaced <- r.Register(greeter(1), registry.RegisterTTL(testTTL)) }()
		time.Sleep(time.Second)
		require.ErrorIs(t, r.Register(rival(), registry.RegisterTTL(testTTL)), ErrPending)
		require.ErrorIs(t, <-replaced, ErrPending, "etcd has neither")
		e.Mend()
	})
}

func TestARepeatOfWhatEtcdHasTakenIsNilAtOnce(t *testing.T) {
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, _ := e.newRegistry(t)
				mustRegister(t, r, greeter(1), testTTL)
				outage.begin(e)
				for range 20 {
					began := time.Now()
					mustRegister(t, r, greeter(1), testTTL)
					require.Zero(t, time.Since(began))
					time.Sleep(time.Second)
				}
				outage.end(e)
			})
		})
	}
}

// The own key's watch is refused, or never confirmed.
func TestAnOwnKeyThatCannotBeWatchedSaysSo(t *testing.T) {
	for _, keys := range []int{5, 20} {
		t.Run(fmt.Sprint(keys), func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				allow := e.Refuse(etcdfake.Watches, rpctypes.ErrGRPCPermissionDenied)
				r, logs := e.newRegistry(t)
				mustRegister(t, r, greeter(keys), testTTL)
				time.Sleep(time.Minute)
				for _, g := range r.Status().Registrations {
					require.ErrorIs(t, g.Err, rpctypes.ErrPermissionDenied, g.State)
				}
				require.Len(t, logs.logged(), keys, "once for each")
				before := e.requests("Range", "Watch")
				time.Sleep(10 * time.Minute)
				require.LessOrEqual(t, e.requests("Range", "Watch")-before, 600*keys/3, "with growing pauses")
				require.Len(t, logs.logged(), keys)
				allow()
				time.Sleep(2 * retry.MaxRefused)
				require.Equal(t, registration.StateRegistered, r.Status().Registrations[0].State)
			})
		})
	}
}

func TestAWatchThatIsNeverConfirmedHoldsUpNothing(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		end := e.Ignore(etcdfake.Watches, 1)
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(2), testTTL)
		time.Sleep(time.Second)
		began := time.Now()
		require.NoError(t, r.Deregister(&registry.Service{Name: "greeter", Nodes: greeter(2).Nodes[1:]}))
		require.Less(t, time.Since(began), time.Second)
		end()
		time.Sleep(30 * time.Second)
		e.Remove(greeterKey)
		await(t, time.Second, "it is back", func() bool { return e.there("greeter", "n1", "a:1") })
	})
}

// etcd refuses the watches of many views for 2 s at a time, as with a token that has expired.
func TestRefusedWatchesLeaveNoViewBehind(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		const views = 60
		name := func(i int) string { return fmt.Sprint("s", i) }
		r, _ := e.newRegistry(t)
		for i := range views {
			looked(t, r, name(i))
		}
		for range 10 {
			allow := e.Refuse(etcdfake.Watches, rpctypes.ErrGRPCInvalidAuthToken)
			e.EndStreams(etcdfake.ErrUnavailable)
			time.Sleep(2 * time.Second)
			allow()
			time.Sleep(2 * time.Second)
		}
		time.Sleep(retry.MaxRefused)
		for i := range views {
			e.PutKey(fmt.Sprint(DefaultPrefix, name(i), "/n"), fmt.Sprintf(`{"name":%q,"nodes":[{"id":"n"}]}`, name(i)), 0)
		}
		time.Sleep(time.Second)
		for i := range views {
			require.Len(t, looked(t, r, name(i)), 1, name(i))
		}
		for _, f := range r.Status().Followed {
			require.NoError(t, f.Err)
		}
	})
}

// Two etcds behind one address: what one grants, the other doesn't know.
func TestALeaseThatIsNeverKnownIsNotGrantedInATightLoop(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		looked(t, r, "greeter")
		mend := e.Refuse(etcdfake.Puts, rpctypes.ErrGRPCLeaseNotFound)
		err := r.Register(greeter(1), registry.RegisterTTL(testTTL))
		require.ErrorIs(t, err, ErrPending)
		require.ErrorIs(t, err, rpctypes.ErrLeaseNotFound)
		time.Sleep(time.Minute)
		require.Less(t, e.requests("LeaseGrant"), 60*2*3)
		mend()
		await(t, time.Second, "it is there", func() bool { return e.has(greeter(1)) })
	})
}

func TestARemovalThatIsNotPermittedEndsWithTheLease(t *testing.T) {
	for _, reading := range []string{"readable", "unreadable"} {
		withFake(t, func(t *testing.T, e *fakeEtcd) {
			r, _ := e.newRegistry(t)
			mustRegister(t, r, greeter(2), testTTL)
			mustRegister(t, r, other(1), testTTL)
			time.Sleep(time.Minute)
			e.Forbid(otherDir)
			e.Refuse(func(_ string, request any) bool {
				r, ok := request.(*pb.RangeRequest)
				return ok && reading == "unreadable" && strings.HasPrefix(string(r.Key), otherDir)
			}, rpctypes.ErrGRPCPermissionDenied)
			require.ErrorIs(t, r.Deregister(other(1)), rpctypes.ErrPermissionDenied)
			await(t, 2*testTTL, "it expires", func() bool { return !e.has(other(1)) })
			time.Sleep(2 * retry.MaxRefused)
			require.Len(t, r.Status().Registrations, 2, "nothing is left to do")
			require.Zero(t, e.lost(greeter(2)))
		})
	}
}

func TestAShortDeadlineIsKept(t *testing.T) {
	for _, bound := range []time.Duration{50 * time.Millisecond, time.Second} {
		t.Run(bound.String(), func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, _ := e.newRegistry(t)
				mustRegister(t, r, greeter(1), testTTL)
				e.Hold(true, false)
				time.Sleep(time.Minute)
				for range 3 {
					ctx, cancel := context.WithTimeout(t.Context(), bound)
					began := time.Now()
					_, err := r.GetService("unknown", func(o *registry.GetOptions) { o.Context = ctx })
					require.Error(t, err)
					require.LessOrEqual(t, time.Since(began), bound)
					cancel()
					ctx, cancel = context.WithTimeout(t.Context(), bound)
					began = time.Now()
					require.ErrorIs(t, r.Register(
						greeter(30), registry.RegisterTTL(testTTL), func(o *registry.RegisterOptions) { o.Context = ctx },
					), ErrPending)
					require.LessOrEqual(t, time.Since(began), bound)
					cancel()
					time.Sleep(time.Minute)
				}
				e.Mend()
			})
		})
	}
}
