package federation

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/selector"

	"github.com/micro-etcd/micro-etcd/internal/feed"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func (f *three) newSelector(t *testing.T, opts ...selector.Option) selector.Selector {
	t.Helper()
	s := etcd.NewSelector(append([]selector.Option{
		selector.Registry(f.Registry), selector.SetStrategy(selector.RoundRobin),
	}, opts...)...)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// picked returns who is picked in some rounds, as "dc/id".
func picked(t *testing.T, s selector.Selector) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for range 20 {
		next, err := s.Select("greeter")
		require.NoError(t, err)
		n, err := next()
		require.NoError(t, err)
		all[n.Metadata[DatacenterKey]+"/"+n.Id] = true
	}
	return all
}

func TestTheSelectorPicksFromWhoServes(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a", "b"))
		f.us1.put(greeter("u"))
		s := f.newSelector(t)
		require.Equal(t, map[string]bool{"eu1/a": true, "eu1/b": true}, picked(t, s))
		f.eu1.remove(greeter("a", "b"))
		f.serves(t, "us1/u")
		require.Equal(t, map[string]bool{"us1/u": true}, picked(t, s))
		f.eu1.put(greeter("c"))
		for range 8 {
			time.Sleep(5 * time.Second)
			picked(t, s)
		}
		require.Equal(t, map[string]bool{"eu1/c": true}, picked(t, s))
	})
}

// What a node has done is known by its value, which stays the same as long as its record does.
func TestAnEjectionSurvivesThatTheServiceIsReadAgain(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a", "b", "c"))
		s := f.newSelector(t)
		next, err := s.Select("greeter")
		require.NoError(t, err)
		n, err := next()
		require.NoError(t, err)
		for range 2 {
			s.Mark("greeter", n, context.DeadlineExceeded)
		}
		f.eu1.put(greeter("d"))
		f.serves(t, "eu1/a", "eu1/b", "eu1/c", "eu1/d")
		require.Len(t, picked(t, s), 3)
		require.NotContains(t, picked(t, s), "eu1/"+n.Id)
	})
}

func TestSelectMakesNothing(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a", "b"))
		s := f.newSelector(t)
		picked(t, s)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			next, err := s.Select("greeter")
			if err != nil {
				t.Error(err)
			}
			if _, err = next(); err != nil {
				t.Error(err)
			}
		}))
	})
}

func TestSelectSaysWhatLookupsSay(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		s := f.newSelector(t)
		_, err := s.Select("greeter")
		require.Equal(t, selector.ErrNotFound, err)
		f.us1.setAway(errAway)
		_, err = s.Select("other")
		require.ErrorIs(t, err, errAway)
		require.ErrorContains(t, err, "us1")
		f.eu1.put(greeter("a"))
		f.serves(t, "eu1/a")
		picked(t, s)
		require.NoError(t, f.Close())
		_, err = s.Select("greeter")
		require.ErrorIs(t, err, ErrClosed)
	})
}

func TestGraceIsRefused(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		f.eu1.put(greeter("a"))
		s := f.newSelector(t, etcd.Grace(time.Minute))
		_, err := s.Select("greeter")
		require.ErrorIs(t, err, etcd.ErrOption)
		require.ErrorContains(t, err, "federation")
		require.NoError(t, s.Init(etcd.Grace(0)))
		picked(t, s)
		require.ErrorIs(t, s.Init(etcd.Grace(time.Minute)), etcd.ErrOption)
		picked(t, s)
	})
}

// hiding is a caller's own registry, which may look services up in another way.
type hiding struct{ *Registry }

func TestWhoEmbedsAFederationIsNotIt(t *testing.T) {
	withThree(t, func(t *testing.T, f *three) {
		require.NotNil(t, feed.SourceOf(f.Registry))
		require.Nil(t, feed.SourceOf(hiding{f.Registry}))
	})
}
