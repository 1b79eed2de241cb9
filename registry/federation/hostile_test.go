package federation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
)

// oddRegistry is one that does what the test says instead of what others do.
type oddRegistry struct {
	*fakeRegistry
	get   func(name string) ([]*registry.Service, error)
	watch func() (registry.Watcher, error)
}

func (o *oddRegistry) GetService(name string, opts ...registry.GetOption) ([]*registry.Service, error) {
	if o.get != nil {
		return o.get(name)
	}
	return o.fakeRegistry.GetService(name, opts...)
}

func (o *oddRegistry) Watch(opts ...registry.WatchOption) (registry.Watcher, error) {
	if o.watch != nil {
		return o.watch()
	}
	return o.fakeRegistry.Watch(opts...)
}

// oddWatcher is a watcher made of a function.
type oddWatcher struct {
	next func() (*registry.Result, error)
}

func (w oddWatcher) Next() (*registry.Result, error) { return w.next() }
func (oddWatcher) Stop()                             {}

// withOdd runs a test of a federation whose first remote registry is odd.
func withOdd(t *testing.T, odd *oddRegistry, test func(*testing.T, *three), opts ...Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		odd.fakeRegistry = newFake()
		f := &three{eu1: newFake(), eu2: odd.fakeRegistry, us1: newFake()}
		all := []Option{Local("eu1", f.eu1), Remote("eu2", odd), Remote("us1", f.us1)}
		r, err := New(append(all, opts...)...)
		require.NoError(t, err)
		f.Registry = r
		t.Cleanup(func() {
			began := time.Now()
			require.NoError(t, r.Close())
			require.LessOrEqual(t, time.Since(began), closeTime)
		})
		test(t, f)
	})
}

// The official plugin's Watch does so while etcd is away, and knows no context.
func TestARegistryWhoseWatchBlocksIsReadAllTheSame(t *testing.T) {
	release := make(chan struct{})
	odd := &oddRegistry{}
	odd.watch = func() (registry.Watcher, error) {
		<-release
		return nil, errAway
	}
	withOdd(t, odd, func(t *testing.T, f *three) {
		release = make(chan struct{})
		f.eu2.put(greeter("c"))
		require.Equal(t, []string{"eu2/c"}, f.nodes(t))
		f.eu2.put(greeter("d"))
		time.Sleep(rereadTime + time.Second)
		f.serves(t, "eu2/c", "eu2/d")
		require.NoError(t, f.Close()) // in time
		close(release)
	})
}

func TestAWatcherThatDoesNotEndHoldsUpNobody(t *testing.T) {
	var blocked chan struct{}
	odd := &oddRegistry{}
	odd.watch = func() (registry.Watcher, error) {
		return oddWatcher{func() (*registry.Result, error) { <-blocked; return nil, errAway }}, nil
	}
	withOdd(t, odd, func(t *testing.T, f *three) {
		blocked = make(chan struct{})
		f.eu2.put(greeter("c"))
		f.serves(t, "eu2/c")
		require.NoError(t, f.Close())
		close(blocked)
	})
}

func TestAWatcherThatTellsNothingAgainAndAgainIsNoBusyLoop(t *testing.T) {
	for name, result := range map[string]*registry.Result{"nil": nil, "no service": {Action: "create"}} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			odd := &oddRegistry{}
			odd.watch = func() (registry.Watcher, error) {
				return oddWatcher{func() (*registry.Result, error) { calls.Add(1); return result, nil }}, nil
			}
			withOdd(t, odd, func(t *testing.T, f *three) {
				f.eu2.put(greeter("c"))
				require.Equal(t, []string{"eu2/c"}, f.nodes(t))
				time.Sleep(time.Minute)
				require.Less(t, calls.Load(), int64(1000))
			})
		})
	}
}

func TestWhatIsNoNodeOfTheServiceIsLeftOut(t *testing.T) {
	other := greeter("x")
	other.Name = "other"
	odd := &oddRegistry{get: func(string) ([]*registry.Service, error) {
		return []*registry.Service{nil, other, {Name: "greeter", Nodes: []*registry.Node{nil}}}, nil
	}}
	withOdd(t, odd, func(t *testing.T, f *three) {
		f.us1.put(greeter("u"))
		require.Equal(t, []string{"us1/u"}, f.nodes(t))
		require.Equal(t, map[string]int{"eu1": 0, "eu2": 0, "us1": 1}, f.Status().Services[0].Nodes)
		require.Empty(t, f.nodes(t, Datacenter("eu2")))
	})
}

// Go Micro's memory registry keeps a node in its old version, too, and returns versions in no order.
func TestAnIdInTwoVersionsIsOneNode(t *testing.T) {
	older, newer := greeter("c"), greeter("c")
	newer.Version, newer.Nodes[0].Address = "2", "new:1"
	var reads atomic.Int64
	odd := &oddRegistry{get: func(string) ([]*registry.Service, error) {
		if reads.Add(1)%2 == 0 {
			return []*registry.Service{older, newer}, nil
		}
		return []*registry.Service{newer, older}, nil
	}}
	withOdd(t, odd, func(t *testing.T, f *three) {
		f.serves(t, "eu2/c")
		c := f.watch(t, registry.WatchService("greeter"))
		before := reads.Load()
		time.Sleep(10*rereadTime + time.Second)
		require.Greater(t, reads.Load(), before+5)
		require.Empty(t, c.hears())
		services, err := f.GetService("greeter")
		require.NoError(t, err)
		require.Equal(t, "2", services[0].Version)
		require.Equal(t, 1, f.Status().Services[0].Nodes["eu2"])
	})
}

type incomparable struct {
	*fakeRegistry
	_ func()
}

func TestARegistryMayBeAnyValue(t *testing.T) {
	one, other := incomparable{fakeRegistry: newFake()}, incomparable{fakeRegistry: newFake()}
	r, err := New(Local("eu1", one), Remote("us1", other))
	require.NoError(t, err)
	require.NoError(t, r.Close())
}

func TestACallWhoseContextHasEndedFails(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a"))
		f.serves(t, "eu1/a")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for range 10 {
			_, err := f.GetService("greeter", registry.GetContext(ended))
			require.ErrorIs(t, err, context.Canceled)
			_, err = f.ListServices(registry.ListContext(ended))
			require.ErrorIs(t, err, context.Canceled)
			_, err = f.Watch(registry.WatchContext(ended))
			require.ErrorIs(t, err, context.Canceled)
			rt, err := f.routes.await(ended, "greeter") // as one that ends meanwhile
			require.Equal(t, rt == nil, err != nil)
		}
	})
}

// What a caller didn't wait for says nothing about the data center.
func TestACallersContextSaysNothingAboutADatacenter(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a"))
		f.serves(t, "eu1/a")
		defer f.eu1.silence()()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, []string{"eu1/a"}, f.nodes(t, registry.GetContext(ctx)))
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
		require.NoError(t, f.Status().Datacenters[0].Err)
	})
}

// A remote registry holds up no call that another one can answer, also if the call asks anew.
func TestARemoteThatIsSilentHoldsUpNoLookupThatAsks(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu2.put(greeter("c"))
		f.serves(t, "eu2/c") // eu2 and us1 are asked from now on
		f.eu1.put(greeter("a"))
		time.Sleep(defaultHold)
		f.serves(t, "eu1/a")
		defer f.us1.silence()()
		defer f.eu2.silence()()
		began := time.Now()
		require.Equal(t, []string{"eu1/a"}, f.nodes(t, registry.GetContext(t.Context())))
		require.Equal(t, began, time.Now())
	})
}

func TestARemoteThatIsSilentHoldsUpNoWatcherForLong(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a"))
		defer f.us1.silence()()
		began := time.Now()
		f.watch(t)
		require.LessOrEqual(t, time.Since(began), 2*answerTime)
	})
}

// Our watchers, for one, don't fail while etcd can't be asked.
func TestAReadThatFailsIsTriedAgainSoon(t *testing.T) {
	var away atomic.Bool
	odd := &oddRegistry{}
	odd.get = func(string) ([]*registry.Service, error) {
		if away.Load() {
			return nil, errAway
		}
		return nil, registry.ErrNotFound
	}
	for name, all := range map[string]bool{"one service": false, "all services": true} {
		t.Run(name, func(t *testing.T) {
			away.Store(true)
			withOdd(t, odd, func(t *testing.T, f *three) {
				if all {
					f.watch(t)
				}
				_, err := f.GetService("greeter")
				require.ErrorIs(t, err, errAway)
				time.Sleep(10 * time.Second)
				away.Store(false)
				time.Sleep(time.Second)
				_, err = f.GetService("greeter")
				require.Equal(t, registry.ErrNotFound, err)
			})
		})
	}
}

// With FailoverBelow, nodes that stayed have not been lost.
func TestNodesThatStayedEndNoHold(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a", "b"))
		f.eu2.put(greeter("c"))
		f.serves(t, "eu1/a", "eu1/b")
		f.eu1.remove(greeter("b"))
		f.serves(t, "eu2/c")
		time.Sleep(time.Second)
		f.eu1.put(greeter("n"))
		f.serves(t, "eu2/c")
		time.Sleep(defaultHold)
		f.serves(t, "eu1/a", "eu1/n")
	}, FailoverBelow(2))
}

// Names come and go, and a watcher of all services stays.
func TestServicesThatAreGoneAreForgottenAlsoWhileAllAreWatched(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		c := f.watch(t)
		named := greeter("a")
		for i := range 300 {
			named.Name = fmt.Sprint("job-", i)
			f.eu1.put(named)
			synctest.Wait()
			f.eu1.remove(named)
		}
		require.Len(t, c.hears(), 600)
		time.Sleep(2 * idleTime)
		synctest.Wait()
		require.Empty(t, f.routes.list())
		f.eu1.put(named)
		require.Equal(t, []string{"create eu1/a"}, c.hears())
	})
}

// A flood of events costs a share of the time only.
func TestAFloodOfEventsOfALargeServiceLeavesTimeForOthers(t *testing.T) {
	const slow = 20 * time.Millisecond
	var reads atomic.Int64
	odd := &oddRegistry{}
	odd.get = func(string) ([]*registry.Service, error) {
		reads.Add(1)
		time.Sleep(slow)
		return []*registry.Service{greeter("c")}, nil
	}
	withOdd(t, odd, func(t *testing.T, f *three) {
		f.serves(t, "eu2/c")
		before := reads.Load()
		for range 1000 {
			f.eu2.put(greeter("c"))
			time.Sleep(10 * time.Millisecond)
		}
		busy := time.Duration(reads.Load()-before) * slow
		require.LessOrEqual(t, busy, 3*time.Second, "of ten")
		require.Greater(t, busy, time.Second)
	})
}

func TestEverythingAtOnce(t *testing.T) {
	eu1, us1 := newFake(), newFake()
	r, err := New(Local("eu1", eu1), Remote("us1", us1), Hold(0))
	require.NoError(t, err)
	var busy sync.WaitGroup
	again := func(call func(i int) error) {
		busy.Go(func() {
			for i := 0; ; i++ {
				if err := call(i); errors.Is(err, ErrClosed) {
					return
				}
			}
		})
	}
	name := func(i int) string { return fmt.Sprint("s", i%7) }
	for range 2 {
		again(func(i int) error {
			s := greeter(fmt.Sprint(i % 3))
			s.Name = name(i)
			us1.remove(s)
			err := r.Register(s)
			us1.put(s)
			return errors.Join(err, r.Deregister(s))
		})
		again(func(i int) error { _, err := r.GetService(name(i)); return err })
		again(func(i int) error { _, err := r.GetService(name(i), Everywhere()); return err })
		again(func(int) error { r.Status(); _, err := r.ListServices(); return err })
		again(func(i int) error {
			var opts []registry.WatchOption
			if i%3 > 0 {
				opts = append(opts, registry.WatchService(name(i)))
			}
			w, err := r.Watch(opts...)
			if err == nil {
				go func() { _, _ = w.Next(); w.Stop() }()
				time.Sleep(time.Millisecond)
				w.Stop()
			}
			return err
		})
		again(func(int) error {
			r.routes.sweep(time.Now().Add(2 * idleTime))
			time.Sleep(time.Millisecond)
			return r.Ready()
		})
	}
	time.Sleep(time.Second)
	require.NoError(t, r.Close())
	busy.Wait()
}
