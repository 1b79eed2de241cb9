package etcd

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
)

// keep has a process look services up until they are on disk.
func (e *fakeEtcd) keep(t *testing.T, dir string, names ...string) {
	t.Helper()
	r, _ := e.newRegistry(t, CacheDir(dir))
	for _, name := range names {
		looked(t, r, name)
	}
	require.NoError(t, r.Close())
}

// keptGreeter has so many nodes registered, and the service kept.
func (e *fakeEtcd) keptGreeter(t *testing.T, nodes int) (owner *Registry, dir string) {
	t.Helper()
	owner, _ = e.newRegistry(t)
	mustRegister(t, owner, greeter(nodes), testTTL)
	dir = t.TempDir()
	e.keep(t, dir, "greeter")
	return owner, dir
}

// keptAll is keptGreeter for a process that watches everything.
func (e *fakeEtcd) keptAll(t *testing.T, nodes int) (owner *Registry, dir string) {
	t.Helper()
	owner, _ = e.newRegistry(t)
	mustRegister(t, owner, greeter(nodes), testTTL)
	dir = t.TempDir()
	r, _ := e.newRegistry(t, CacheDir(dir))
	w, err := r.Watch()
	require.NoError(t, err)
	w.Stop()
	require.NoError(t, r.Close())
	return owner, dir
}

// silence lets lists and watches go unanswered.
func (e *fakeEtcd) silence() (end func()) {
	return e.Ignore(etcdfake.Either(etcdfake.Reads, etcdfake.Watches), etcdfake.Always)
}

func cacheFiles(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "micro-etcd"))
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	return entries
}

func (r *recorder) count(part string) int {
	found := 0
	for _, line := range r.logged() {
		if strings.Contains(line, part) {
			found++
		}
	}
	return found
}

func TestACacheFileStandsInWhileEtcdIsAway(t *testing.T) {
	t.Parallel()
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				owner, dir := e.keptGreeter(t, 20)
				kept := time.Now()
				before := looked(t, owner, "greeter").lines()
				time.Sleep(time.Minute)
				outage.begin(e)
				time.Sleep(time.Minute)

				r, logs := e.newRegistry(t, CacheDir(dir))
				began := time.Now()
				require.Equal(t, before, looked(t, r, "greeter").lines())
				took := time.Since(began)
				require.LessOrEqual(t, took, time.Second)
				if refused := r.connector.Current().IsDown(); refused {
					require.Less(t, took, 100*time.Millisecond, "nothing to wait for")
				}
				f := newFollower(t, r, "greeter")
				require.LessOrEqual(t, time.Since(began), time.Second, "later calls don't wait")
				status := r.Status().Followed[0]
				require.True(t, status.Ready)
				require.WithinDuration(t, kept, status.Cached, time.Second)
				require.InDelta(t, time.Since(kept), status.Stale, float64(time.Second))
				require.Error(t, status.Err)
				require.Error(t, r.Ready())
				time.Sleep(time.Minute)
				require.Equal(t, before, looked(t, r, "greeter").lines())
				require.Equal(t, 1, logs.count("served from the cache directory:"), logs.logged())
				written := cacheFiles(t, dir)

				outage.end(e)
				await(t, 3*time.Second, "everybody sees what there is", func() bool {
					return r.Status().Followed[0].Cached.IsZero() && e.has(greeter(20)) && e.differ("greeter", r, f) == ""
				})
				time.Sleep(time.Second)
				require.Equal(t, 1, logs.count("nothing is served from the cache directory any more"), logs.logged())
				require.Equal(t, 1, logs.count("served from the cache directory:"), logs.logged())
				require.Equal(t, written, cacheFiles(t, dir), "one file for a directory, whoever writes it")
			})
		})
	}
}

// Nobody is told of the nodes that went while the process was away but by the difference to the file.
func TestWhatIsGoneSinceTheCacheFileIsTold(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *fakeEtcd, *Registry){
		"nodes have gone": func(t *testing.T, _ *fakeEtcd, owner *Registry) {
			require.NoError(t, owner.Deregister(greeter(12)))
		},
		"all have gone":            func(_ *testing.T, e *fakeEtcd, _ *Registry) { e.Wipe() },
		"etcd was restored":        func(_ *testing.T, e *fakeEtcd, _ *Registry) { e.Wipe(); e.Grow(3) },
		"another cluster answers":  func(_ *testing.T, e *fakeEtcd, _ *Registry) { e.MoveCluster() },
		"another, at a later time": func(_ *testing.T, e *fakeEtcd, _ *Registry) { e.MoveCluster(); e.Grow(1000) },
	} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				owner, dir := e.keptGreeter(t, 20)
				change(t, e, owner)
				require.NoError(t, owner.Close())

				back := e.silence()
				r, _ := e.newRegistry(t, CacheDir(dir))
				shown := looked(t, r, "greeter")
				require.NotEmpty(t, shown)
				f, err := follow(r, "greeter", shown)
				require.NoError(t, err)
				defer f.stop()
				back()
				await(t, 15*time.Second, "followers are told", func() bool { return e.differ("greeter", r, f) == "" })
				require.Zero(t, r.Status().Followed[0].Cached)
			})
		})
	}
}

func TestNothingStandsInForARefusal(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		_, dir := e.keptGreeter(t, 2)
		permit := e.Refuse(etcdfake.Reads, rpctypes.ErrGRPCPermissionDenied)
		r, logs := e.newRegistry(t, CacheDir(dir))
		_, err := r.GetService("greeter")
		require.ErrorIs(t, err, rpctypes.ErrPermissionDenied)
		time.Sleep(time.Minute)
		_, err = r.GetService("greeter")
		require.ErrorIs(t, err, rpctypes.ErrPermissionDenied)
		require.Zero(t, logs.count("cache directory"))
		permit()
		require.NotEmpty(t, looked(t, r, "greeter"))
	})
}

// As for every view.
func TestALaterRefusalLeavesWhatStandsIn(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		owner, dir := e.keptGreeter(t, 2)
		back := e.silence()
		r, logs := e.newRegistry(t, CacheDir(dir))
		f := newFollower(t, r, "greeter")
		permit := e.Refuse(etcdfake.Reads, rpctypes.ErrGRPCPermissionDenied)
		back()
		time.Sleep(time.Minute)
		require.NotEmpty(t, looked(t, r, "greeter"))
		require.ErrorIs(t, r.Status().Followed[0].Err, rpctypes.ErrPermissionDenied)
		require.Equal(t, 1, logs.count("can't follow"), logs.logged())
		require.NoError(t, owner.Deregister(greeter(1)))
		permit()
		await(t, 16*time.Second, "it follows", func() bool { return e.differ("greeter", r, f) == "" })
	})
}

func TestWhoAsksForEtcdGetsNoCacheFile(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		_, dir := e.keptAll(t, 2)

		back := e.silence()
		r, _ := e.newRegistry(t, CacheDir(dir))
		w, err := r.Watch()
		require.NoError(t, err)
		defer w.Stop()
		require.NotEmpty(t, looked(t, r, "greeter"), "the file of everything has each service")
		_, err = r.ListServices()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = r.GetService("greeter", Linearizable())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		back()
		time.Sleep(5 * time.Second)
		services, err := r.ListServices()
		require.NoError(t, err)
		require.Len(t, services, 1)
	})
}

func TestTheFileOfEverythingStandsInForAService(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		_, dir := e.keptAll(t, 2)
		e.Cut()
		r, _ := e.newRegistry(t, CacheDir(dir))
		require.Len(t, looked(t, r, "greeter")["greeter@1"].Nodes, 2)
		_, err := r.GetService("greeter-too")
		require.ErrorIs(t, err, registry.ErrNotFound)
	})
}

func TestAServiceWithoutNodesIsRememberedAsEmpty(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		owner, dir := e.keptGreeter(t, 2)
		require.NoError(t, owner.Close())
		e.keep(t, dir, "greeter")
		e.Cut()
		r, _ := e.newRegistry(t, CacheDir(dir))
		_, err := r.GetService("greeter")
		require.ErrorIs(t, err, registry.ErrNotFound)
		_, err = r.GetService("never looked up")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestCacheFilesOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		_, dir := e.keptGreeter(t, 2)
		e.Cut()
		r, _ := e.newRegistry(t, CacheDir(dir), Prefix("/tenant/"))
		_, err := r.GetService("greeter")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		r, _ = e.newRegistry(t, CacheDir(dir), CacheMaxAge(10*time.Minute))
		for began := time.Now(); time.Since(began) < 20*time.Minute; time.Sleep(301 * time.Second) {
			require.NotEmpty(t, looked(t, r, "greeter"), "what stands in goes on")
		}
		r, logs := e.newRegistry(t, CacheDir(dir), CacheMaxAge(10*time.Minute))
		for range 3 { // the view goes when the call ends
			_, err = r.GetService("greeter")
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.Equal(t, 1, logs.count("it is too old"), logs.logged())
		r, _ = e.newRegistry(t, CacheDir(dir), CacheMaxAge(-1))
		require.NotEmpty(t, looked(t, r, "greeter"))
	})
}

func TestNodesOfACacheFileHaveNoGrace(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		owner, dir := e.keptGreeter(t, 20)
		require.NoError(t, owner.Deregister(greeter(19)))
		back := e.silence()
		r, _ := e.newRegistry(t, CacheDir(dir))
		s := NewSelector(selector.Registry(r), Grace(time.Hour))
		defer func() { require.NoError(t, s.Close()) }()
		_, err := s.Select("greeter")
		require.NoError(t, err)
		back()
		time.Sleep(10 * time.Second)
		require.Empty(t, e.differ("greeter", r))
		next, err := s.Select("greeter")
		require.NoError(t, err)
		left := looked(t, r, "greeter")["greeter@1"].Nodes[0].Id
		for range 100 {
			n, err := next()
			require.NoError(t, err)
			require.Equal(t, left, n.Id)
		}
	})
}

// A mass of losses after that has grace as ever, even if nobody selects in between and etcd has just what the file had.
func TestAConsumerThatStartedFromACacheFileHasGraceLater(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		_, dir := e.keptGreeter(t, 8)
		back := e.silence()
		r, _ := e.newRegistry(t, CacheDir(dir))
		s := NewSelector(selector.Registry(r), Grace(time.Hour))
		defer func() { require.NoError(t, s.Close()) }()
		_, err := s.Select("greeter")
		require.NoError(t, err)
		back()
		await(t, 15*time.Second, "etcd has answered", func() bool { return r.Status().Followed[0].Cached.IsZero() })
		time.Sleep(time.Second)
		for _, n := range greeter(8).Nodes {
			e.Remove(greeterDir + n.Id)
		}
		e.Forbid(greeterDir) // so that they don't come back
		time.Sleep(time.Second)
		_, err = s.Select("greeter")
		require.NoError(t, err)
	})
}

func TestAListThatSaysTheSameTellsNothing(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		_, dir := e.keptGreeter(t, 8)
		back := e.silence()
		r, _ := e.newRegistry(t, CacheDir(dir))
		looked(t, r, "greeter")
		w, err := r.Watch(registry.WatchService("greeter"))
		require.NoError(t, err)
		back()
		await(t, 15*time.Second, "etcd has answered", func() bool { return r.Status().Followed[0].Cached.IsZero() })
		require.Zero(t, r.Status().Followed[0].Queued)
		w.Stop()
	})
}

// A file of everything stands in for a service only if its directory can't be read.
func TestAnOldFileOfEverythingDoesNotHideAService(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		owner, dir := e.keptAll(t, 1)
		mustRegister(t, owner, greeter(2), testTTL)
		e.On(func(_ string, request any) bool {
			get, ok := request.(*etcdserverpb.RangeRequest)
			return ok && string(get.Key) == DefaultPrefix
		}, etcdfake.Always, func(ctx context.Context, _ func() (any, error)) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		r, _ := e.newRegistry(t, CacheDir(dir))
		w, err := r.Watch()
		require.NoError(t, err)
		defer w.Stop()
		require.NotZero(t, r.Status().Followed[0].Cached)
		require.Empty(t, e.differ("greeter", r))
	})
}

// What one user has read is no other's.
func TestAFileIsOfTheUserWhoReadIt(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		dir := t.TempDir()
		owner, _ := e.newRegistry(t)
		mustRegister(t, owner, greeter(2), testTTL)
		as := func(user string) registry.Option {
			c := e.NewClient(t)
			c.Username = user
			return Client(c)
		}
		r, _ := e.newRegistry(t, as("alice"), CacheDir(dir))
		looked(t, r, "greeter")
		await(t, 6*time.Second, "there is a file", func() bool { return len(cacheFiles(t, dir)) == 1 })
		mustRegister(t, owner, greeter(3), testTTL)
		await(t, time.Second, "it is seen", func() bool { return e.differ("greeter", r) == "" })
		e.Refuse(etcdfake.Reads, rpctypes.ErrGRPCPermissionDenied)
		require.NoError(t, r.Init(as("bob")))
		time.Sleep(time.Minute)
		require.NoError(t, r.Close())
		require.Len(t, cacheFiles(t, dir), 1)
		e.Cut()
		r, _ = e.newRegistry(t, as("bob"), CacheDir(dir))
		_, err := r.GetService("greeter")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, r.Init(as("alice")))
		require.NotEmpty(t, looked(t, r, "greeter"))
	})
}

func TestANewCacheDirIsFilled(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		looked(t, r, "greeter")
		for range 2 {
			dir := t.TempDir()
			require.NoError(t, r.Init(CacheDir(dir)))
			await(t, 11*time.Second, "there is a file", func() bool { return len(cacheFiles(t, dir)) == 1 })
		}
	})
}

func TestADirectoryOfOthersIsToldOnceByAllThatWouldLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "micro-etcd"), 0o755)) //nolint:gosec // that is what is tested
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.Cut()
		r, logs := e.newRegistry(t, CacheDir(dir))
		for i := range 10 {
			_, err := r.GetService(strconv.Itoa(i))
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.Error(t, r.Status().CacheErr)
		require.Equal(t, 1, logs.count("can't keep cache files"), logs.logged())
		require.Zero(t, logs.count("ignoring"))
	})
}

// A list of another cluster takes the place of what a file had, and leaves what this process has written since.
func TestOwnWritesStayWhenAnotherClusterTakesTheFilesPlace(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		owner, dir := e.keptGreeter(t, 2)
		require.NoError(t, owner.Close())
		e.MoveCluster()
		e.Grow(1000)
		e.On(etcdfake.Reads, 1, func(ctx context.Context, answer func() (any, error)) (any, error) {
			list, err := answer()
			e.Wait(ctx, 3*time.Second) // on its way
			return list, err
		})
		r, _ := e.newRegistry(t, CacheDir(dir))
		f := newFollower(t, r, "greeter")
		own := &registry.Service{Name: "greeter", Version: "1", Nodes: []*registry.Node{{Id: "own", Address: "a:1"}}}
		mustRegister(t, r, own, testTTL)
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			require.Contains(t, strings.Join(looked(t, r, "greeter").lines(), " "), "own")
		}
		require.Empty(t, e.differ("greeter", r, f))
	})
}

// The predecessor had the same node at another address.
func TestAnOwnRegistrationBeatsACacheFile(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		dir := t.TempDir()
		at := func(address string) *registry.Service {
			s := greeter(1)
			s.Nodes[0].Address = address
			return s
		}
		owner, _ := e.newRegistry(t)
		mustRegister(t, owner, at("old:1"), testTTL)
		e.keep(t, dir, "greeter")
		require.NoError(t, owner.Close())
		r, _ := e.newRegistry(t, CacheDir(dir))
		mustRegister(t, r, at("new:1"), testTTL)
		e.Cut()
		require.Equal(t, "new:1", looked(t, r, "greeter")["greeter@1"].Nodes[0].Address)
	})
}

func TestAnEtcdThatAnswersPageByPageHasAnswered(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		owner, dir := e.keptGreeter(t, 200)
		require.NoError(t, owner.Deregister(greeter(50)))
		e.On(etcdfake.Reads, etcdfake.Always, func(ctx context.Context, answer func() (any, error)) (any, error) {
			e.Wait(ctx, 600*time.Millisecond)
			return answer()
		})
		r, _ := e.newRegistry(t, CacheDir(dir))
		began := time.Now()
		require.Len(t, looked(t, r, "greeter")["greeter@1"].Nodes, 150)
		require.Greater(t, time.Since(began), time.Second)
		require.Zero(t, r.Status().Followed[0].Cached)
	})
}

// Own writes may be ahead of what others have done: they make no file newer.
func TestWhoLagsBehindReplacesNoNewerFile(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		dir := t.TempDir()
		owner, _ := e.newRegistry(t)
		mustRegister(t, owner, greeter(3), testTTL)
		lagging, _ := e.newRegistry(t, CacheDir(dir))
		looked(t, lagging, "greeter")
		e.Mute(true)
		require.NoError(t, owner.Deregister(greeter(2)))
		e.keep(t, dir, "greeter")
		own := &registry.Service{Name: "greeter", Version: "1", Nodes: []*registry.Node{{Id: "own", Address: "a:1"}}}
		mustRegister(t, lagging, own, testTTL)
		require.NoError(t, lagging.Close())
		e.Cut()
		r, _ := e.newRegistry(t, CacheDir(dir))
		require.Len(t, looked(t, r, "greeter")["greeter@1"].Nodes, 1)
	})
}

func TestASaveThatFailedIsTriedAgain(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		dir := t.TempDir()
		own := filepath.Join(dir, "micro-etcd")
		require.NoError(t, os.Mkdir(own, 0o755)) //nolint:gosec // that is what is tested
		r, _ := e.newRegistry(t, CacheDir(dir))
		looked(t, r, "greeter")
		await(t, 6*time.Second, "it fails", func() bool { return r.Status().CacheErr != nil })
		require.NoError(t, os.Chmod(own, 0o700)) //nolint:gosec // a directory
		await(t, 11*time.Second, "there is a file", func() bool { return len(cacheFiles(t, dir)) == 1 })
		require.NoError(t, r.Status().CacheErr)
	})
}

// Another process that shares the directory writes it.
func TestAFileThatComesLaterIsLoaded(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		dir, other := t.TempDir(), t.TempDir()
		owner, _ := e.newRegistry(t)
		mustRegister(t, owner, greeter(2), testTTL)
		e.keep(t, other, "greeter")
		e.Cut()
		r, _ := e.newRegistry(t, CacheDir(dir))
		w, err := r.Watch(registry.WatchService("greeter"))
		require.NoError(t, err)
		defer w.Stop()
		require.NoError(t, os.Rename(filepath.Join(other, "micro-etcd"), filepath.Join(dir, "micro-etcd")))
		await(t, 11*time.Second, "it is there", func() bool { return r.Status().Followed[0].Ready })
		require.NotEmpty(t, looked(t, r, "greeter"))
	})
}

func TestIgnoredFilesAreToldAFewTimes(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		dir := t.TempDir()
		names := make([]string, 50)
		for i := range names {
			names[i] = strconv.Itoa(i)
		}
		e.keep(t, dir, names...)
		time.Sleep(time.Second)
		e.Cut()
		r, logs := e.newRegistry(t, CacheDir(dir), CacheMaxAge(time.Nanosecond))
		for _, name := range names {
			_, err := r.GetService(name)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.Equal(t, 10, logs.count("it is too old"), logs.logged())
		require.Equal(t, 1, logs.count("others aren't told"), logs.logged())
	})
}

func TestAShortTimeoutLeavesTimeForACacheFile(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		_, dir := e.keptGreeter(t, 2)
		e.Hold(true, false)
		r, _ := e.newRegistry(t, CacheDir(dir), registry.Timeout(200*time.Millisecond))
		require.NotEmpty(t, looked(t, r, "greeter"))
		r, _ = e.newRegistry(t, CacheDir(dir))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := r.GetService("greeter", registry.GetContext(ctx))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(time.Second)
		began := time.Now()
		require.NotEmpty(t, looked(t, r, "greeter"))
		require.Zero(t, time.Since(began))
	})
}

func TestCacheFilesAreWrittenSoonAndNotOften(t *testing.T) {
	t.Parallel()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		dir := t.TempDir()
		owner, _ := e.newRegistry(t)
		r, _ := e.newRegistry(t, CacheDir(dir))
		began := time.Now()
		looked(t, r, "greeter")
		await(t, 5*time.Second, "there is a file", func() bool { return len(cacheFiles(t, dir)) == 1 })
		file := filepath.Join(dir, "micro-etcd", cacheFiles(t, dir)[0].Name())
		contents := func() string {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			return string(data)
		}
		var versions []string
		for i := 0; time.Since(began) < time.Minute; i++ {
			s := greeter(1)
			s.Nodes[0].Metadata = map[string]string{"change": strconv.Itoa(i)}
			mustRegister(t, owner, s, testTTL)
			time.Sleep(100 * time.Millisecond)
			if now := contents(); len(versions) == 0 || versions[len(versions)-1] != now {
				versions = append(versions, now)
			}
		}
		require.InDelta(t, 6, len(versions), 1)
		time.Sleep(20 * time.Second)
		last := contents()
		time.Sleep(time.Minute)
		require.Equal(t, last, contents(), "nothing has changed")
		time.Sleep(10 * time.Minute)
		require.NotEqual(t, last, contents(), "its time is kept up to date")
		last = contents()
		e.Cut()
		time.Sleep(11 * time.Minute)
		require.NoError(t, r.Close())
		require.Equal(t, last, contents(), "nothing is known that is newer")
	})
}

func TestADirectoryThatCannotBeUsedHurtsNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	open := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(open, "micro-etcd"), 0o755)) //nolint:gosec // that is what is tested
	for name, dir := range map[string]string{"it is a file": file, "others may use it": open, "NUL": "a\x00b"} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, logs := e.newRegistry(t, CacheDir(dir))
				mustRegister(t, r, greeter(2), testTTL)
				require.NotEmpty(t, looked(t, r, "greeter"))
				time.Sleep(time.Hour)
				require.Equal(t, 1, logs.count("can't keep cache files"), logs.logged())
				require.Error(t, r.Status().CacheErr)
				require.NoError(t, r.Init(CacheDir(t.TempDir())))
				looked(t, r, "greeter")
				time.Sleep(10 * time.Second)
				require.NoError(t, r.Status().CacheErr)
				require.Equal(t, 1, logs.count("keeping cache files"), logs.logged())
				require.NoError(t, r.Close())
			})
		})
	}
}

func TestTheCacheDirIsChosen(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MICRO_REGISTRY_CACHE_DIR", dir)
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t, CacheDir(""))
		looked(t, r, "greeter")
		require.NoError(t, r.Close())
		require.Empty(t, cacheFiles(t, dir))
		r, _ = e.newRegistry(t)
		looked(t, r, "greeter")
		require.NoError(t, r.Init(CacheDir("")))
		require.NoError(t, r.Close())
		require.Empty(t, cacheFiles(t, dir))
		r, _ = e.newRegistry(t)
		looked(t, r, "greeter")
		require.NoError(t, r.Close())
		require.Len(t, cacheFiles(t, dir), 1)
		_, err := New(CacheMaxAge(0))
		require.ErrorIs(t, err, ErrOption)
		require.ErrorContains(t, err, "CacheMaxAge")
	})
}
