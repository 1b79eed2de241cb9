package etcd

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// Which views there are, and for how long.

func followed(r *Registry) []string {
	var prefixes []string
	for _, f := range r.Status().Followed {
		prefixes = append(prefixes, f.Prefix)
	}
	return prefixes
}

func TestWhatWasLookedUpStaysAnswerableWithoutEtcd(t *testing.T) {
	for name, watches := range map[string]bool{
		"from its own view": false, "from that of everything, whose watcher has stopped": true,
	} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				e.putNode("n1")
				r, _ := e.newRegistry(t)
				if watches {
					w := watch(t, r)
					defer w.Stop()
					for range 10 {
						require.Len(t, looked(t, r, "greeter"), 1)
					}
					w.Stop()
				} else {
					require.Len(t, looked(t, r, "greeter"), 1)
				}
				e.Cut()
				time.Sleep(viewIdleTime - time.Second)
				require.Len(t, looked(t, r, "greeter"), 1)
			})
		})
	}
}

func TestASelectorThatIsUsedGoesOnForAWholeOutage(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.putNode("n1")
		r, _ := e.newRegistry(t)
		s := NewSelector(selector.Registry(r))
		w := watch(t, r)
		pick(t, s, "greeter")
		w.Stop()
		e.Cut()
		for range 30 * 60 {
			time.Sleep(time.Second)
			pick(t, s, "greeter")
		}
		require.NoError(t, s.Close())
	})
}

func TestAViewGoesTenMinutesAfterItsLastUse(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.putNode("n1")
		r, _ := e.newRegistry(t)
		uses := map[string]func(){
			greeterDir:              func() { looked(t, r, "greeter") },
			DefaultPrefix + "none/": func() { looked(t, r, "none") },
			DefaultPrefix:           func() { _, _ = r.ListServices() },
		}
		for prefix, use := range uses {
			if prefix == DefaultPrefix {
				watch(t, r).Stop()
			}
			use()
			for range 3 {
				time.Sleep(viewIdleTime - time.Second)
				require.Contains(t, followed(r), prefix)
				use()
			}
			time.Sleep(viewIdleTime + 2*viewSweepTime)
			require.Empty(t, followed(r), prefix)
		}
		w := watch(t, r, registry.WatchService("greeter"))
		time.Sleep(3 * viewIdleTime)
		require.Len(t, followed(r), 1, "it is watched")
		w.Stop()
		time.Sleep(viewIdleTime - time.Second)
		require.Len(t, followed(r), 1)
		time.Sleep(2 * viewSweepTime)
		require.Empty(t, followed(r))
	})
}

func TestPollingAMissingServiceCostsNothing(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		for i := range 200 {
			looked(t, r, fmt.Sprint("missing", i))
		}
		time.Sleep(time.Second)
		before := e.requests("Range", "Watch")
		for range 100 {
			time.Sleep(time.Second)
			for i := range 200 {
				looked(t, r, fmt.Sprint("missing", i))
			}
		}
		require.Equal(t, before, e.requests("Range", "Watch"))
		e.PutKey(DefaultPrefix+"missing7/n1", `{"name":"missing7","nodes":[{"id":"n1"}]}`, 0)
		await(t, time.Second, "it is seen", func() bool { return len(looked(t, r, "missing7")) == 1 })
	})
}

func TestUnknownNamesEvictNoGoodView(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]bool{"etcd answers": false, "etcd is away": true} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, _ := e.newRegistry(t, registry.Timeout(100*time.Millisecond))
				good := make([]string, 50)
				for i := range good {
					good[i] = fmt.Sprint("good", i)
					e.PutKey(
						DefaultPrefix+good[i]+"/n1", stored(&registry.Service{Name: good[i], Nodes: []*registry.Node{{Id: "n1"}}}), 0,
					)
					require.Len(t, looked(t, r, good[i]), 1)
				}
				w := watch(t, r, registry.WatchService("awaited"))
				defer w.Stop()
				if away {
					e.Cut()
				}
				for i := range maxViews + 200 {
					_, _ = r.GetService(fmt.Sprint("junk", i))
				}
				require.LessOrEqual(t, len(followed(r)), maxViews+1)
				require.Contains(t, followed(r), DefaultPrefix+"awaited/")
				for _, name := range good {
					require.Contains(t, followed(r), DefaultPrefix+name+"/")
					require.Len(t, looked(t, r, name), 1)
				}
			})
		})
	}
}

func TestOfTooManyGoodViewsTheOneUsedLongestAgoGoes(t *testing.T) {
	f := stage(t, "greeter")
	ms := f.registry.components.Load().views
	name := func(i int) string { return fmt.Sprint("s", i) }
	add := func(i int) {
		g := &staged{t: t, registry: f.registry, view: ms.Detached(f.keys().Dir(name(i))), service: name(i), revision: 10}
		g.list()
		g.put("1", some(1)...)
		_, _, err := ms.Lookup(t.Context(), name(i))
		require.NoError(t, err)
	}
	f.put("1", some(1)...)
	for i := range maxViews - 1 {
		add(i)
	}
	looked(t, f.registry, "greeter") // the oldest, and just used
	looked(t, f.registry, name(0))
	add(maxViews)
	require.Len(t, ms.All(), maxViews)
	for there, of := range map[bool][]string{true: {"greeter", name(0), name(2), name(maxViews)}, false: {name(1)}} {
		for _, name := range of {
			require.Equal(t, there, slices.Contains(followed(f.registry), ms.Keys.Dir(name)), name)
		}
	}
}

// A view that was never there and that nobody waits for isn't asked for again and again.
func TestAViewThatIsRefusedAtFirstEnds(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		permit := e.Refuse(etcdfake.Reads, rpctypes.ErrGRPCPermissionDenied)
		_, err := r.GetService("greeter")
		require.ErrorIs(t, err, rpctypes.ErrPermissionDenied)
		time.Sleep(time.Second)
		require.Empty(t, followed(r))
		before := e.requests()
		time.Sleep(10 * time.Minute)
		require.Equal(t, before, e.requests())
		permit()
		looked(t, r, "greeter")
	})
}

// Each list succeeds, and the watch after it is refused.
func TestAViewWhoseWatchIsRefusedSaysSoOnceAndAllTheTime(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.putNode("n1")
		r, logs := e.newRegistry(t)
		permit := e.Refuse(etcdfake.Watches, rpctypes.ErrGRPCPermissionDenied)
		looked(t, r, "greeter")
		time.Sleep(time.Second)
		before := e.requests("Range")
		for range 600 {
			time.Sleep(time.Second)
			require.ErrorContains(t, r.Status().Followed[0].Err, "permission denied")
		}
		require.Less(t, e.requests("Range")-before, 1600)
		require.Len(t, logs.logged(), 1)
		require.Contains(t, logs.logged()[0], "can't follow")
		permit()
		time.Sleep(retry.MaxRefused)
		require.NoError(t, r.Status().Followed[0].Err)
		require.Len(t, logs.logged(), 2)
	})
}

// etcd's data are replaced by others whose revisions are small again, and nobody has noticed yet.
func TestOwnWritesAreSeenAtOnceAfterAnUnnoticedWipe(t *testing.T) {
	for name, opts := range map[string][]registry.WatchOption{
		"own view": {registry.WatchService("greeter")}, "view of everything": nil,
	} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, _ := e.newRegistry(t)
				e.Grow(100)
				e.putNode("x")
				watch(t, r, opts...)
				time.Sleep(time.Second)
				e.SwapData(etcdfake.NewStore(e.Store.Cluster))
				mustRegister(t, r, greeter(1), testTTL)
				require.Contains(t, fmt.Sprint(looked(t, r, "greeter").lines()), "n1=")
				await(t, time.Second, "the rest is right, too", func() bool { return e.differ("greeter", r) == "" })
				require.NoError(t, r.Deregister(greeter(1)))
				require.Empty(t, looked(t, r, "greeter"))
				mustRegister(t, r, greeter(1), testTTL)
				require.Len(t, looked(t, r, "greeter"), 1)
			})
		})
	}
}

// BenchmarkLookupOfAMissingService must not depend on how many services are followed.
func BenchmarkLookupOfAMissingService(b *testing.B) {
	for _, n := range []int{10, 5000} {
		b.Run(fmt.Sprint("beside ", n), func(b *testing.B) {
			f := stage(b, "missing")
			ms := f.registry.components.Load().views
			for i := range n {
				service := fmt.Sprint("s", i)
				g := &staged{t: b, registry: f.registry, view: ms.Detached(f.keys().Dir(service)), service: service, revision: 10}
				g.list()
				_, err := ms.Watch(b.Context(), b.Context(), service) // else the least recently used would go
				require.NoError(b, err)
				g.put("1", some(1)...)
			}
			b.ReportAllocs()
			for b.Loop() {
				//nolint:errorlint // go-micro's users compare it
				if _, err := f.registry.GetService("missing"); err != registry.ErrNotFound {
					b.Fatal(err)
				}
			}
		})
	}
}

// A suspended machine, for one, makes everybody ask etcd at the same time.
func TestOwnWritesDuringARelistAreKept(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(2), testTTL)
		w, err := r.Watch(registry.WatchService("greeter"))
		require.NoError(t, err)
		var told []string
		over := make(chan struct{})
		go func() {
			defer close(over)
			for {
				result, err := w.Next()
				if err != nil {
					return
				}
				told = append(told, result.Action+" "+result.Service.Nodes[0].Id)
			}
		}()
		time.Sleep(time.Minute)

		served, release := make(chan struct{}), make(chan struct{})
		e.On(etcdfake.Reads, 1, func(_ context.Context, answer func() (any, error)) (any, error) {
			a, err := answer()
			close(served)
			<-release
			return a, err
		})
		view := r.components.Load().views.All()[0]
		view.Relist(metrics.ListHistoryChanged)
		<-served
		came := greeter(3)
		came.Nodes = came.Nodes[2:]
		mustRegister(t, r, came, testTTL)
		went := greeter(1)
		require.NoError(t, r.Deregister(went))
		close(release)
		time.Sleep(time.Minute)
		w.Stop()
		<-over
		require.Equal(t, []string{"create " + came.Nodes[0].Id, "delete " + went.Nodes[0].Id}, told)
	})
}
