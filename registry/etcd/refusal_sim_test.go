package etcd

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/etcderr"
	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
	"github.com/micro-etcd/micro-etcd/internal/registration"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// With the NOSPACE alarm grants and puts fail; renewals, deletes and revokes work.
func TestWithoutSpaceOldRecordsLiveOnAndNewOnesFollow(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(2), testTTL)
		free := e.Fill()
		began := time.Now()
		require.ErrorIs(t, r.Register(greeter(3), registry.RegisterTTL(testTTL)), ErrPending)
		require.ErrorIs(t, r.Register(rival(), registry.RegisterTTL(testTTL)), rpctypes.ErrNoSpace, "a change of n1")
		require.Less(t, time.Since(began), time.Second, "etcd has answered, so nobody waits")
		for range 20 {
			time.Sleep(testTTL)
			require.ErrorIs(t, r.Register(greeter(3), registry.RegisterTTL(testTTL)), ErrPending)
			require.True(t, e.has(greeter(2)), "the old records stay")
		}
		require.NoError(t, r.Deregister(&registry.Service{Name: "greeter", Nodes: []*registry.Node{{Id: "n2"}}}))
		require.Len(t, e.truth("greeter")["greeter@1"].Nodes, 1)
		free()
		want := greeter(3)
		want.Nodes = slices.Delete(want.Nodes, 1, 2)
		await(t, time.Second, "the new ones follow", func() bool { return e.has(want) })
	})
}

func TestARefusalIsGotOverWhenItIsTakenBack(t *testing.T) {
	for name, what := range map[string]func(string, any) bool{
		"all requests": requests, "writes": etcdfake.Either(etcdfake.Puts, etcdfake.Grants, etcdfake.Deletes),
		"reads": etcdfake.Reads, "renewals": etcdfake.Renewals,
	} {
		for _, no := range []error{rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrGRPCUserEmpty} {
			t.Run(name+": "+no.Error(), func(t *testing.T) {
				withFake(t, func(t *testing.T, e *fakeEtcd) {
					r, _ := e.newRegistry(t)
					mustRegister(t, r, greeter(1), testTTL)
					f := newFollower(t, r, "greeter")
					time.Sleep(time.Minute)
					allow := e.Refuse(what, no)
					e.EndStreams(etcdfake.ErrUnavailable)
					e.Remove(greeterKey)
					before := e.requests()
					time.Sleep(2 * time.Minute)
					require.Less(t, e.requests()-before, 2*60*8, "it isn't asked in a tight loop")
					allow()
					await(t, retry.MaxRefused+time.Second, "the record is back", func() bool { return e.has(greeter(1)) })
					await(
						t, retry.MaxRefused+time.Second, "and the view right", func() bool { return e.differ("greeter", r, f) == "" },
					)
				})
			})
		}
	}
}

// One at a time: of two that are refused on one stream, the etcd client may forget one for ever.
func TestARefusedWatchIsGotOver(t *testing.T) {
	for _, no := range []error{rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrGRPCInvalidAuthToken} {
		t.Run(no.Error(), func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				provider, _ := e.newRegistry(t)
				reader, _ := e.newRegistry(t)
				mustRegister(t, provider, greeter(1), testTTL)
				f := newFollower(t, reader, "greeter")
				time.Sleep(time.Minute)
				allow := e.Refuse(etcdfake.Watches, no)
				e.EndStreams(etcdfake.ErrUnavailable)
				time.Sleep(2 * time.Minute)
				allow()
				time.Sleep(retry.MaxRefused)
				e.Remove(greeterKey)
				await(t, time.Second, "the record is back", func() bool { return e.has(greeter(1)) })
				await(t, time.Second, "and the view right", func() bool { return e.differ("greeter", reader, f) == "" })
			})
		})
	}
}

// A token that has expired is for ever that of its stream: the watches there are go on, and new ones need another
// stream.
func TestAnExpiredTokenEndsOnlyItsStream(t *testing.T) {
	for _, watched := range []string{greeterKey, greeterDir} {
		t.Run(watched, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, _ := e.newRegistry(t)
				mustRegister(t, r, greeter(1), testTTL)
				f := newFollower(t, r, "greeter")
				for range 5 {
					time.Sleep(time.Minute)
					e.ExpireTokens()
					e.CancelWatchesOf(watched, rpctypes.ErrGRPCInvalidAuthToken.Error())
					time.Sleep(time.Second)
					e.Remove(greeterKey)
					e.PutKey(greeterDir+"x", `{"name":"greeter","version":"1","nodes":[{"id":"x"}]}`, 0)
					await(t, time.Second, "the record is back", func() bool { return e.has(greeter(1)) })
					await(t, time.Second, "and the view right", func() bool { return e.differ("greeter", r, f) == "" })
					before := e.requests("Watch", "Range")
					time.Sleep(time.Minute)
					require.Less(t, e.requests("Watch", "Range")-before, 10, "by watching, and not by asking again and again")
				}
			})
		})
	}
}

// attempts notes when some requests come, all of which are refused.
func (e *fakeEtcd) attempts(what func(string, any) bool, no error) (at func() []time.Time, allow func()) {
	var times []time.Time
	end := e.Refuse(func(method string, request any) bool {
		if !what(method, request) {
			return false
		}
		times = append(times, time.Now()) // under the etcd's mutex
		return true
	}, no)
	return func() []time.Time {
		e.Mu.Lock()
		defer e.Mu.Unlock()
		return slices.Clone(times)
	}, end
}

func gaps(times []time.Time) []time.Duration {
	var between []time.Duration
	for i := range len(times) - 1 {
		between = append(between, times[i+1].Sub(times[i]))
	}
	return between
}

func TestBackoffGrowsHasJitterNeverGivesUpAndResetsOnHealth(t *testing.T) {
	t.Parallel()
	for name, no := range map[string]error{
		"quota": rpctypes.ErrGRPCNoSpace, "permission": rpctypes.ErrGRPCPermissionDenied,
	} {
		limit := retry.Max
		if name == "permission" {
			limit = retry.MaxRefused
		}
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, _ := e.newRegistry(t)
				mustRegister(t, r, greeter(1), testTTL)
				for range 2 {
					time.Sleep(time.Minute)
					at, allow := e.attempts(etcdfake.Puts, no)
					e.Remove(greeterKey)
					time.Sleep(30 * time.Minute)
					between := gaps(at())
					require.Greater(t, len(between), int(30*time.Minute/limit), "it never gives up")
					require.Less(t, between[0], 2*retry.Base, "it begins quickly, after health too")
					require.Greater(t, between[8], limit/2-time.Millisecond)
					seen := make(map[time.Duration]bool)
					for _, gap := range between {
						require.LessOrEqual(t, gap, limit+10*time.Millisecond)
						seen[gap.Round(time.Millisecond)] = true
					}
					require.Greater(t, len(seen), 100, "it has jitter")
					allow()
					await(t, limit, "the record is back", func() bool { return e.has(greeter(1)) })
				}
			})
		})
	}
}

// Twenty minutes without etcd, with go-micro ticking and looking up, is a handful of log lines.
func TestALongOutageIsLoggedOnce(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(*fakeEtcd) func(){
		"cut off":    func(e *fakeEtcd) func() { e.Cut(); return e.Mend },
		"black hole": func(e *fakeEtcd) func() { e.Hold(true, false); return e.Mend },
		"no leader":  func(e *fakeEtcd) func() { return e.LoseLeader() },
		"no space":   func(e *fakeEtcd) func() { free := e.Fill(); e.RevokeAll(); return free },
		"not allowed": func(e *fakeEtcd) func() {
			end := e.Refuse(requests, rpctypes.ErrGRPCPermissionDenied)
			e.EndStreams(etcdfake.ErrUnavailable)
			e.Remove(greeterKey)
			return end
		},
	} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, logs := e.newRegistry(t)
				mustRegister(t, r, greeter(1), testTTL)
				f := newFollower(t, r, "greeter")
				end := begin(e)
				for range 20 {
					time.Sleep(time.Minute)
					_ = r.Register(greeter(1), registry.RegisterTTL(testTTL))
					_, _ = r.GetService("greeter")
				}
				require.LessOrEqual(t, len(logs.logged()), 4, logs.logged())
				end()
				await(t, retry.MaxRefused+time.Second, "all is well", func() bool {
					return e.has(greeter(1)) && e.differ("greeter", r, f) == ""
				})
				time.Sleep(5 * time.Minute)
				require.LessOrEqual(t, len(logs.logged()), 8, logs.logged())
			})
		})
	}
}

// Etcd was started with a lower --max-request-bytes, say. What it took before isn't given up, nor tried without a
// pause.
func TestARecordThatCannotBePutBackStaysPending(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, logs := e.newRegistry(t)
		mustRegister(t, r, greeter(1), testTTL)
		allow := e.Refuse(etcdfake.Puts, rpctypes.ErrGRPCRequestTooLarge)
		before := e.requests("Txn")
		e.Remove(greeterKey)
		time.Sleep(time.Minute)
		require.Less(t, e.requests("Txn")-before, 300, "reads and writes")
		status := r.Status().Registrations[0]
		require.Equal(t, registration.StatePending, status.State)
		require.ErrorIs(t, status.Err, ErrTooLarge)
		require.Len(t, logs.logged(), 1)
		require.NoError(t, r.Register(greeter(1), registry.RegisterTTL(testTTL)), "a repeat of what etcd has taken")
		allow()
		await(t, time.Second, "it is back", func() bool { return e.has(greeter(1)) })
	})
}

// Each refused record leaves a lease to be given back, for which the next call doesn't wait.
func TestManyRefusedRecordsDoNotDelayTheNext(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		fast := e.On(etcdfake.Revokes, etcdfake.Always, func(ctx context.Context, do func() (any, error)) (any, error) {
			e.Wait(ctx, 50*time.Millisecond)
			return do()
		})
		allow := e.Refuse(etcdfake.Puts, rpctypes.ErrGRPCRequestTooLarge)
		for n := range 500 {
			s := greeter(1)
			s.Metadata = map[string]string{"n": strconv.Itoa(n)}
			require.ErrorIs(t, r.Register(s, registry.RegisterTTL(testTTL)), ErrTooLarge)
		}
		allow()
		began := time.Now()
		mustRegister(t, r, greeter(1), testTTL)
		require.Less(t, time.Since(began), time.Second)
		await(t, 5*time.Second, "all leases but one are given back", func() bool { return e.leaseCount() == 1 })
		fast()
	})
}

// The caller has closed the client that it had lent.
func TestAClosedClientIsSaidAtOnce(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		client := e.NewClient(t)
		r, err := New(Client(client), registry.Logger(&recorder{}), registry.Timeout(time.Minute))
		require.NoError(t, err)
		require.NoError(t, client.Close())
		began := time.Now()
		_, err = r.GetService("greeter")
		require.ErrorIs(t, err, etcderr.ErrClientClosed)
		_, err = r.Watch(registry.WatchService("greeter"))
		require.ErrorIs(t, err, etcderr.ErrClientClosed)
		require.ErrorIs(t, r.Register(greeter(1), registry.RegisterTTL(testTTL)), etcderr.ErrClientClosed)
		require.Less(t, time.Since(began), 10*time.Second)
		_ = r.Close()
	})
}

// With a password that has become wrong each request costs etcd an authentication, so all of a process's keys ask as
// seldom as one would.
func TestAPasswordThatHasBecomeWrongIsTriedSeldom(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(50), testTTL)
		f := newFollower(t, r, "greeter")
		time.Sleep(time.Minute)
		allow := e.Refuse(func(method string, _ any) bool { return method != "Watch" }, rpctypes.ErrGRPCAuthFailed)
		e.EndStreams(etcdfake.ErrUnavailable)
		time.Sleep(time.Minute)
		before := e.requests()
		time.Sleep(5 * time.Minute)
		require.Less(t, e.requests()-before, 60)
		_, err := r.ListServices()
		require.ErrorIs(t, err, rpctypes.ErrAuthFailed)
		allow()
		await(t, 2*retry.MaxRefused, "the records are back", func() bool { return e.has(greeter(50)) })
		await(t, retry.MaxRefused, "and the view is right", func() bool { return e.differ("greeter", r, f) == "" })
	})
}

func TestCloseAsksThoughThePasswordWasWrongAMomentAgo(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(5), 0)
		allow := e.Refuse(func(method string, _ any) bool { return method != "Watch" }, rpctypes.ErrGRPCAuthFailed)
		_, err := r.ListServices()
		require.ErrorIs(t, err, rpctypes.ErrAuthFailed)
		allow()
		require.NoError(t, r.Close())
		require.Equal(t, 5, e.lost(greeter(5)))
	})
}

func TestARecordThatIsReplacedByARefusedOneIsGivenUp(t *testing.T) {
	for name, taken := range map[string]bool{"another one was taken before": true, "nothing was": false} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, _ := e.newRegistry(t, registry.Timeout(time.Minute))
				if taken {
					mustRegister(t, r, greeter(1), testTTL)
				}
				answer := e.Ignore(etcdfake.Puts, etcdfake.Always)
				failed := make(chan error)
				go func() { failed <- r.Register(rival(), registry.RegisterTTL(testTTL)) }()
				time.Sleep(time.Second)
				huge := rival()
				huge.Metadata = map[string]string{"huge": strings.Repeat("x", 4<<20)}
				require.ErrorIs(t, r.Register(huge, registry.RegisterTTL(testTTL)), ErrTooLarge)
				err := <-failed
				require.ErrorContains(t, err, "replaced meanwhile by a record that was refused")
				require.NotErrorIs(t, err, ErrPending)
				answer()
			})
		})
	}
}
