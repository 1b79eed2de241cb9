package federation

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
)

func TestTheLocalDatacenterServesAsLongAsItCan(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a", "b"))
		f.eu2.put(greeter("c"))
		f.serves(t, "eu1/a", "eu1/b")
		require.Zero(t, f.eu2.readCount(), "nobody needs it")
		f.eu1.remove(greeter("a"))
		f.serves(t, "eu1/b")
		require.Zero(t, f.eu2.readCount())
	})
}

func TestWithoutLocalNodesTheFirstThatHasAnyServes(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a"))
		f.us1.put(greeter("u"))
		f.serves(t, "eu1/a")
		f.eu1.remove(greeter("a"))
		f.serves(t, "us1/u")
		f.eu2.put(greeter("c"))
		f.serves(t, "us1/u")
		time.Sleep(defaultHold + time.Second)
		f.serves(t, "eu2/c")
		f.eu2.remove(greeter("c"))
		f.serves(t, "us1/u")
		f.us1.remove(greeter("u"))
		f.serves(t)
		f.eu1.put(greeter("n"))
		f.serves(t, "eu1/n")
	})
}

func TestItGoesBackAfterTheHold(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a"))
		f.eu2.put(greeter("c"))
		f.serves(t, "eu1/a")
		f.keep(t)
		f.eu1.remove(greeter("a"))
		f.serves(t, "eu2/c")
		time.Sleep(time.Hour)
		f.eu1.put(greeter("n"))
		f.serves(t, "eu2/c")
		status := f.Status().Services[0]
		require.Equal(t, "eu2", status.Datacenter)
		require.Equal(t, time.Now().Add(time.Minute), status.Back)
		require.Equal(t, map[string]int{"eu1": 1, "eu2": 1, "us1": 0}, status.Nodes)
		time.Sleep(time.Minute - time.Second)
		f.serves(t, "eu2/c")
		time.Sleep(time.Second)
		f.serves(t, "eu1/n")
		require.Zero(t, f.Status().Services[0].Back)
	}, Hold(time.Minute))
}

// Nodes that come and go don't take the service with them.
func TestTheHoldBeginsAnewWhenNodesAreGoneAgain(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu2.put(greeter("c"))
		f.serves(t, "eu2/c")
		for range 10 {
			f.eu1.put(greeter("n"))
			time.Sleep(20 * time.Second)
			f.serves(t, "eu2/c")
			f.eu1.remove(greeter("n"))
			time.Sleep(time.Second)
			f.serves(t, "eu2/c")
		}
	})
}

func TestThereIsNoHoldWhenTheOtherHasNoNodesAnyMore(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu2.put(greeter("c"))
		f.serves(t, "eu2/c")
		f.eu1.put(greeter("n"))
		f.serves(t, "eu2/c")
		f.eu2.remove(greeter("c"))
		f.serves(t, "eu1/n")
	})
}

// A wiped etcd, which its registrations put their records back into.
func TestThereIsNoHoldWhenTheRegistryHadLostTheNodes(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a", "b"))
		f.eu2.put(greeter("c"))
		f.serves(t, "eu1/a", "eu1/b")
		restore := f.eu1.wipe()
		f.serves(t, "eu2/c")
		time.Sleep(2 * time.Second)
		restore()
		f.serves(t, "eu1/a", "eu1/b")
	})
}

func TestFailoverBelow(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a", "b", "c"))
		f.serves(t, "eu1/a", "eu1/b", "eu1/c")
		f.eu1.remove(greeter("a"))
		f.serves(t, "eu1/b", "eu1/c")
		f.us1.put(greeter("u"))
		f.serves(t, "us1/u")
		f.us1.remove(greeter("u"))
		f.serves(t, "eu1/b", "eu1/c")
		f.us1.put(greeter("u"))
		f.serves(t, "us1/u")
		f.eu1.put(greeter("d"))
		time.Sleep(defaultHold)
		f.serves(t, "eu1/b", "eu1/c", "eu1/d")
	}, FailoverBelow(3))
}

// Etcd is away, and the services are well.
func TestADatacenterThatIsCutOffIsNotEmpty(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a"))
		f.eu2.put(greeter("c"))
		f.serves(t, "eu1/a")
		f.keep(t)
		f.eu1.setAway(errAway)
		time.Sleep(time.Hour)
		f.serves(t, "eu1/a")
		require.ErrorIs(t, f.Status().Datacenters[0].Err, errAway)
		f.eu1.remove(greeter("a"))
		time.Sleep(time.Hour)
		f.serves(t, "eu1/a")
		f.eu1.setAway(nil)
		time.Sleep(time.Second)
		f.serves(t, "eu2/c")
		require.NoError(t, f.Status().Datacenters[0].Err)
		f.eu2.setAway(errAway)
		time.Sleep(time.Hour)
		f.serves(t, "eu2/c")
	})
}

func TestSilenceIsAsBeingCutOff(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a"))
		f.eu2.put(greeter("c"))
		f.serves(t, "eu1/a")
		f.keep(t)
		speak := f.eu1.silence()
		time.Sleep(time.Hour)
		began := time.Now()
		f.serves(t, "eu1/a")
		require.Equal(t, began, time.Now(), "nobody is waited for")
		speak()
	})
}

// A remote registry is a soft dependency, and so is the local one, for who only looks up.
func TestItBeginsWithThoseThatAnswer(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		speak := f.eu1.silence()
		f.eu1.put(greeter("a"))
		f.eu2.setAway(errAway)
		f.us1.put(greeter("u"))
		began := time.Now()
		require.Equal(t, []string{"us1/u"}, f.nodes(t))
		require.LessOrEqual(t, time.Since(began), 2*answerTime)
		time.Sleep(time.Minute)
		f.serves(t, "us1/u")
		speak()
		time.Sleep(2 * time.Second)
		f.serves(t, "eu1/a") // without a hold: it had never lost the service
	})
}

func TestAnAnswerInTimeIsWaitedFor(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.us1.put(greeter("u"))
		f.eu2.put(greeter("c"))
		speak := f.eu2.silence()
		time.AfterFunc(answerTime/2, speak)
		require.Equal(t, []string{"eu2/c"}, f.nodes(t))
	})
}

func TestNotFoundIsSaidOnlyIfAllSaidSo(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		_, err := f.GetService("greeter")
		require.Equal(t, registry.ErrNotFound, err, "go-micro compares it")
		f.us1.setAway(errAway)
		_, err = f.GetService("other")
		require.ErrorIs(t, err, errAway)
		require.NotErrorIs(t, err, registry.ErrNotFound)
		require.ErrorContains(t, err, `get service "other": data center us1 couldn't be asked: no route to etcd`)
		_, err = f.GetService("greeter")
		require.Equal(t, registry.ErrNotFound, err, "us1 had said so")
		f.us1.setAway(nil)
		time.Sleep(2 * time.Second)
		_, err = f.GetService("other")
		require.Equal(t, registry.ErrNotFound, err)
	})
}

func TestALookupThatNobodyAnswersEndsInTime(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		for _, r := range f.all() {
			defer r.silence()()
		}
		began := time.Now()
		_, err := f.GetService("greeter")
		require.ErrorContains(t, err, "data center eu1 couldn't be asked")
		require.LessOrEqual(t, time.Since(began), 3*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began = time.Now()
		_, err = f.GetService("other", registry.GetContext(ctx))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 100*time.Millisecond, time.Since(began))
	})
}

func TestOwnWritesAreSeenAtOnce(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.us1.put(greeter("u"))
		f.us1.lossy, f.eu1.lossy = true, true
		require.Equal(t, []string{"us1/u"}, f.nodes(t))
		f.us1.remove(greeter("u"))
		time.Sleep(rereadTime + time.Second)
		require.NoError(t, f.Register(greeter("a")))
		require.Equal(t, []string{"eu1/a"}, f.nodes(t))
		require.NoError(t, f.Deregister(greeter("a")))
		require.Empty(t, f.nodes(t))
	})
}

// The official plugin loses events.
func TestWhatAnEventDidNotTellIsFoundInTime(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.lossy = true
		f.eu1.put(greeter("a"))
		f.serves(t, "eu1/a")
		synctest.Wait() // its watcher is there
		f.eu1.put(greeter("b"))
		f.serves(t, "eu1/a")
		time.Sleep(rereadTime + time.Second)
		f.serves(t, "eu1/a", "eu1/b")
	})
}

func TestRemotesAreFollowedOnlyAsLongAsTheyAreNeeded(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a"))
		f.eu2.put(greeter("c"))
		f.serves(t, "eu1/a")
		f.eu1.remove(greeter("a"))
		f.serves(t, "eu2/c")
		require.Equal(t, 1, f.eu2.watcherCount())
		f.eu1.put(greeter("b"))
		for range 12 {
			time.Sleep(time.Minute)
			f.serves(t, "eu1/b")
		}
		require.Zero(t, f.eu2.watcherCount())
		require.Zero(t, f.us1.watcherCount())
		f.eu1.remove(greeter("b"))
		f.serves(t, "eu2/c")
		time.Sleep(2 * idleTime)
		require.Zero(t, f.eu1.watcherCount(), "nobody looks it up")
		require.Empty(t, f.Status().Services)
		f.serves(t, "eu2/c")
	})
}

func TestWhatNobodyLooksUpIsBounded(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		w, err := f.Watch(registry.WatchService("greeter"))
		require.NoError(t, err)
		for i := range 2 * maxUnwatched {
			s := greeter("a") // which keeps the remote ones out of it: the race detector bears 8,128 goroutines
			s.Name = strconv.Itoa(i)
			f.eu1.put(s)
			_, err := f.GetService(s.Name)
			require.NoError(t, err)
		}
		require.LessOrEqual(t, len(f.routes.list()), maxUnwatched+1)
		f.eu1.put(greeter("a"))
		result, err := w.Next()
		require.NoError(t, err)
		require.Equal(t, "create", result.Action)
		w.Stop()
	})
}

func TestAFailoverIsLoggedOnce(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a"))
		f.eu2.put(greeter("c"))
		f.serves(t, "eu1/a")
		f.eu1.remove(greeter("a"))
		f.serves(t, "eu2/c")
		f.eu1.put(greeter("b"))
		time.Sleep(defaultHold)
		f.serves(t, "eu1/b")
		require.Equal(t, []string{
			"warn federation: greeter is served from eu2 instead of eu1: eu1 has too few nodes",
			"info federation: greeter is served from eu1 instead of eu2: eu1 has enough nodes",
		}, f.eu1.logged())
	})
}

func TestLookupsOfOneDatacenterAndOfAll(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a"))
		f.us1.put(greeter("a", "u"))
		require.Equal(t, []string{"us1/a", "us1/u"}, f.nodes(t, Datacenter("us1")))
		require.Empty(t, f.nodes(t, Datacenter("eu2")))
		require.Equal(t, []string{"eu1/a", "us1/a", "us1/u"}, f.nodes(t, Everywhere()))
		_, err := f.GetService("greeter", Datacenter("us2"))
		require.ErrorIs(t, err, ErrDatacenter)
		require.ErrorContains(t, err, "us2")

		here, err := f.ListServices()
		require.NoError(t, err)
		require.Equal(t, []string{"eu1/a"}, nodesOf(here))
		all, err := f.ListServices(ListEverywhere())
		require.NoError(t, err)
		require.Equal(t, []string{"eu1/a", "us1/a", "us1/u"}, nodesOf(all))

		f.us1.setAway(errAway)
		require.Equal(t, []string{"eu1/a"}, f.nodes(t, Everywhere()))
		_, err = f.GetService("other", Everywhere())
		require.ErrorIs(t, err, errAway)
		require.ErrorContains(t, err, "us1")
		_, err = f.GetService("greeter", Datacenter("us1"))
		require.ErrorIs(t, err, errAway)
	})
}

// What a record itself says about where it is doesn't count: it may have been copied.
func TestTheLabelSaysWhereANodeWasRead(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		lies := greeter("u")
		lies.Nodes[0].Metadata = map[string]string{DatacenterKey: "eu1", "zone": "a"}
		f.us1.put(lies)
		services, err := f.GetService("greeter")
		require.NoError(t, err)
		require.Equal(t, map[string]string{DatacenterKey: "us1", "zone": "a"}, services[0].Nodes[0].Metadata)
		require.Equal(t, "eu1", lies.Nodes[0].Metadata[DatacenterKey], "what the registry has stays as it is")
	})
}

func TestEveryCallAfterCloseSaysSo(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		w, err := f.Watch(registry.WatchService("greeter"))
		require.NoError(t, err)
		all, err := f.Watch()
		require.NoError(t, err)
		require.NoError(t, f.Close())
		for _, w := range []registry.Watcher{w, all} {
			_, err = w.Next()
			require.ErrorIs(t, err, registry.ErrWatcherStopped)
			require.ErrorIs(t, err, ErrClosed)
		}
		_, err = f.GetService("greeter")
		require.ErrorIs(t, err, ErrClosed)
		_, err = f.ListServices()
		require.ErrorIs(t, err, ErrClosed)
		_, err = f.Watch()
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, f.Register(greeter("a")), ErrClosed)
		require.ErrorIs(t, f.Deregister(greeter("a")), ErrClosed)
		require.ErrorIs(t, f.Init(), ErrClosed)
		require.ErrorIs(t, f.Ready(), ErrClosed)
		synctest.Wait()
		for _, r := range f.all() {
			require.Zero(t, r.watcherCount())
		}
	})
}
