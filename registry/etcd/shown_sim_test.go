package etcd

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
)

// What a lookup has shown and is gone is told as deleted to whoever watches afterwards, wherever it was shown from. The
// random test of the same has found none that these don't show.

// listsOf hits the lists of a prefix.
func listsOf(prefix string) func(string, any) bool {
	return func(_ string, request any) bool {
		r, ok := request.(*pb.RangeRequest)
		return ok && string(r.Key) == prefix && !r.CountOnly
	}
}

// holdList makes the next list of a prefix wait before etcd reads it.
func (e *fakeEtcd) holdList(prefix string) (held chan struct{}, release func()) {
	held, released := make(chan struct{}), make(chan struct{})
	e.On(listsOf(prefix), 1, func(ctx context.Context, answer func() (any, error)) (any, error) {
		close(held)
		select {
		case <-released:
		case <-ctx.Done():
		}
		return answer()
	})
	return held, func() { close(released) }
}

func (e *fakeEtcd) putNode(id string) {
	e.PutKey(greeterDir+id, stored(&registry.Service{Name: "greeter", Version: "1", Nodes: []*registry.Node{{Id: id}}}), 0)
}

// nextOf returns what a watcher says next, as "action id".
func nextOf(t *testing.T, w registry.Watcher) string {
	t.Helper()
	type answer struct {
		result *registry.Result
		err    error
	}
	next := make(chan answer, 1)
	go func() {
		result, err := w.Next()
		next <- answer{result, err}
	}()
	select {
	case a := <-next:
		require.NoError(t, a.err)
		return a.result.Action + " " + a.result.Service.Nodes[0].Id
	case <-time.After(time.Minute):
		w.Stop()
		<-next
		return "nothing"
	}
}

func linearizable(t *testing.T, r *Registry) int {
	t.Helper()
	services, err := r.GetService("greeter", Linearizable())
	if err == registry.ErrNotFound { //nolint:errorlint // go-micro's users compare it
		return 0
	}
	require.NoError(t, err)
	return len(services[0].Nodes)
}

func watch(t *testing.T, r *Registry, opts ...registry.WatchOption) registry.Watcher {
	t.Helper()
	w, err := r.Watch(opts...)
	require.NoError(t, err)
	t.Cleanup(w.Stop)
	return w
}

func TestWhatALookupShowedBeforeTheFirstListOfEverythingIsToldAsGone(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.putNode("n1")
		r, _ := e.newRegistry(t)
		held, release := e.holdList(DefaultPrefix)
		watching := make(chan registry.Watcher)
		go func() {
			w, _ := r.Watch()
			watching <- w
		}()
		<-held
		require.Len(t, looked(t, r, "greeter"), 1)
		e.Remove(greeterKey)
		time.Sleep(time.Second)
		release()
		w := <-watching
		defer w.Stop()
		require.Equal(t, "delete n1", nextOf(t, w))
	})
}

func TestWhatALinearizableLookupShowedBeforeTheFirstListIsToldAsGone(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.putNode("n1")
		r, _ := e.newRegistry(t)
		held, release := e.holdList(greeterDir)
		go func() { _, _ = r.GetService("greeter") }()
		<-held
		require.Equal(t, 1, linearizable(t, r))
		e.Remove(greeterKey)
		watching := make(chan registry.Watcher)
		go func() {
			w, _ := r.Watch(registry.WatchService("greeter"))
			watching <- w
		}()
		time.Sleep(time.Second)
		release()
		w := <-watching
		defer w.Stop()
		require.Equal(t, "delete n1", nextOf(t, w))
	})
}

func TestWhatALinearizableLookupShowedDuringAListIsToldAsGone(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.putNode("n1")
		r, _ := e.newRegistry(t)
		looked(t, r, "greeter")
		time.Sleep(10 * time.Minute)
		looked(t, r, "greeter")
		held, release := e.holdList(greeterDir)
		r.components.Load().resync()
		<-held
		e.putNode("n2")
		require.Equal(t, 2, linearizable(t, r))
		w := watch(t, r, registry.WatchService("greeter"))
		e.Remove(greeterDir + "n2")
		release()
		told := nextOf(t, w)
		if told == "create n2" {
			told = nextOf(t, w)
		}
		require.Equal(t, "delete n2", told)
	})
}

// A lookup in the view is never behind one that asked etcd, and a watcher doesn't hear that what exists has gone.
func TestTheViewIsNotBehindALinearizableLookup(t *testing.T) {
	for name, opts := range map[string][]registry.WatchOption{
		"own view": {registry.WatchService("greeter")}, "view of everything": nil,
	} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, _ := e.newRegistry(t)
				e.putNode("n1")
				w := watch(t, r, opts...)
				e.Mute(true) // the events are late
				e.putNode("n2")
				e.Remove(greeterKey)
				require.Equal(t, 1, linearizable(t, r))
				require.Equal(t, "[greeter@1map[]: n2=map[]]", fmt.Sprint(looked(t, r, "greeter").lines()))
				require.Equal(t, "create n2", nextOf(t, w))
				require.Equal(t, "delete n1", nextOf(t, w))
				require.Equal(t, "nothing", nextOf(t, watch(t, r, opts...)))
			})
		})
	}
}

func TestAWatchAfterListServicesBeginsThere(t *testing.T) {
	for _, opts := range [][]registry.WatchOption{nil, {registry.WatchService("greeter")}} {
		withFake(t, func(t *testing.T, e *fakeEtcd) {
			e.putNode("n1")
			r, _ := e.newRegistry(t)
			all, err := r.ListServices()
			require.NoError(t, err)
			require.Len(t, all, 1)
			e.Remove(greeterKey)
			e.putNode("n2")
			w := watch(t, r, opts...)
			require.Equal(t, "delete n1", nextOf(t, w))
			require.Equal(t, "create n2", nextOf(t, w))
			require.Equal(t, "nothing", nextOf(t, w))
		})
	}
}

func TestAWatchWithoutALookupBeginsWithNothing(t *testing.T) {
	for name, before := range map[string]func(*testing.T, *Registry){
		"none":           func(*testing.T, *Registry) {},
		"of another":     func(t *testing.T, r *Registry) { looked(t, r, "other") },
		"minutes before": func(t *testing.T, r *Registry) { looked(t, r, "greeter"); time.Sleep(3 * time.Minute) },
		"of the same":    func(t *testing.T, r *Registry) { looked(t, r, "greeter") },
	} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				e.putNode("n1")
				r, _ := e.newRegistry(t)
				before(t, r)
				for _, opts := range [][]registry.WatchOption{nil, {registry.WatchService("greeter")}} {
					require.Equal(t, "nothing", nextOf(t, watch(t, r, opts...)))
				}
			})
		})
	}
}

// etcd goes away between the lookup and the watch, and comes back long after.
func TestAWatchThatWaitsForEtcdStillKnowsWhatWasShownBefore(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.putNode("n1")
		r, _ := e.newRegistry(t)
		require.Equal(t, 1, linearizable(t, r))
		e.Cut()
		w := watch(t, r, registry.WatchService("greeter"))
		e.Remove(greeterKey)
		time.Sleep(20 * time.Minute)
		e.Mend()
		require.Equal(t, "delete n1", nextOf(t, w))
	})
}

func TestShownIsForgotten(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.putNode("n1")
		r, _ := e.newRegistry(t)
		size := func() int { services, _ := r.components.Load().views.Remembered("greeter"); return services }
		for _, name := range []string{"a", "b", "c"} {
			looked(t, r, name)
		}
		looked(t, r, "greeter")
		_, err := r.ListServices()
		require.NoError(t, err)
		nodes := func() int { _, nodes := r.components.Load().views.Remembered("greeter"); return nodes }
		require.Equal(t, 4, size())
		time.Sleep(2*viewSweepTime + time.Second)
		require.Equal(t, 1, size(), "a lookup may be answered from what is kept without saying so")
		for i := range 100 {
			e.putNode(fmt.Sprint("x", i))
			time.Sleep(time.Millisecond)
			looked(t, r, "greeter")
			e.Remove(fmt.Sprint(greeterDir, "x", i))
		}
		time.Sleep(time.Millisecond)
		require.Greater(t, nodes(), 90)
		looked(t, r, "greeter")
		time.Sleep(2*viewSweepTime + time.Second)
		require.Equal(t, 1, nodes())
		time.Sleep(viewIdleTime + 3*viewSweepTime)
		require.Zero(t, size())
	})
}

// go-micro's cache looks up while its watch begins.
func TestAServiceWithAViewOfItsOwnIsNotLookedUpInALaggingOneOfEverything(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		watch(t, r)
		e.putNode("n1")
		time.Sleep(time.Second)
		require.Len(t, looked(t, r, "greeter"), 1, "from the view of everything")
		e.Remove(greeterDir)
		time.Sleep(2 * viewShownTime)
		e.Mute(true)
		e.putNode("n2")
		watch(t, r, registry.WatchService("greeter"))
		require.Len(t, looked(t, r, "greeter"), 1)
		e.Mute(false)
	})
}

// A lookup has shown n1 when lists fail. What was new since is told with all there is when they succeed again.
func TestWhatIsToldLastOfAVersionGivesItsProfile(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		put := func(id, of string) {
			e.PutKey(greeterDir+id, stored(&registry.Service{
				Name: "greeter", Metadata: map[string]string{"of": of}, Nodes: []*registry.Node{{Id: id}},
			}), 0)
		}
		put("n1", "before")
		r, _ := e.newRegistry(t)
		before, err := r.GetService("greeter", Linearizable())
		require.NoError(t, err)
		c := consumer{"greeter@": before[0]}
		allow := e.Refuse(etcdfake.Reads, etcdfake.ErrUnavailable)
		w, err := r.Watch(registry.WatchService("greeter"))
		require.NoError(t, err)
		put("n2", "after")
		allow()
		for range 2 {
			result, err := w.Next()
			require.NoError(t, err)
			c.fold(result)
		}
		require.Equal(t, []string{"greeter@map[of:after]: n1=map[], n2=map[]"}, c.lines())
	})
}
