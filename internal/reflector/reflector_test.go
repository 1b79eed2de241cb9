package reflector

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
)

// scribe is a Handler that writes down what it is told, with the time.
type scribe struct{ lines []string }

func (s *scribe) note(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *scribe) Listing(error)    { s.note("listing") }
func (s *scribe) Replace(l *List)  { s.note("replace %d", l.Header.Revision) }
func (s *scribe) Following()       { s.note("following") }
func (s *scribe) Broken(err error) { s.note("broken: %v", err) }

func (s *scribe) Apply(events []*clientv3.Event) {
	for _, e := range events {
		s.note("event %d", e.Kv.ModRevision)
	}
}

func (s *scribe) take() []string {
	lines := s.lines
	s.lines = nil
	return lines
}

func following(t *testing.T, test func(s *script, r *Reflector, told *scribe)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, told := newScript(), &scribe{}
		r := New(s.lister(), told)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.Run(ctx)
		}()
		synctest.Wait()
		test(s, r, told)
		cancel()
		<-done
	})
}

// pass lets time pass, and what is due happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func events(revisions ...int64) []*clientv3.Event {
	var all []*clientv3.Event
	for _, r := range revisions {
		all = append(all, &clientv3.Event{Kv: &mvccpb.KeyValue{ModRevision: r}})
	}
	return all
}

func TestItListsAndWatchesFromThere(t *testing.T) {
	following(t, func(s *script, _ *Reflector, told *scribe) {
		w := <-s.watches
		require.EqualValues(t, 8, w.from)
		w.send(events(6, 7, 8, 9), nil)
		synctest.Wait()
		require.Equal(t, []string{"listing", "replace 7", "following", "event 8", "event 9"}, told.take())
	})
}

func TestItListsAgainFromTimeToTime(t *testing.T) {
	following(t, func(s *script, _ *Reflector, told *scribe) {
		first := <-s.watches
		pass(MaxRelist)
		synctest.Wait()
		require.Equal(t, []string{"listing", "replace 7", "following", "listing", "replace 7", "following"}, told.take())
		require.True(t, first.isClosed(), "the watch before has ended")
		require.False(t, (<-s.watches).isClosed())
	})
}

func TestItListsWhenItIsAskedTo(t *testing.T) {
	following(t, func(_ *script, r *Reflector, told *scribe) {
		told.take()
		r.Relist()
		r.Relist()
		synctest.Wait()
		require.Equal(t, []string{"listing", "replace 7", "following"}, told.take())
		r.Fail(errAny)
		pass(time.Second)
		synctest.Wait()
		require.Equal(t, []string{"broken: whatever", "listing", "replace 7", "following"}, told.take())
	})
}

func TestAWatchThatEndsIsToldAndBegunAnew(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		end   func(*watch)
		want  []string
	}{
		"an error": {
			0, func(w *watch) { w.send(nil, errAny) }, []string{"broken: whatever", "listing", "replace 7", "following"},
		},
		"another client": {
			0, func(w *watch) { w.send(nil, etcdconn.ErrReplaced) }, []string{"listing", "replace 7", "following"},
		},
		"compacted after hours": {
			time.Minute, func(w *watch) { w.send(nil, rpctypes.ErrCompacted) }, []string{"listing", "replace 7", "following"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			following(t, func(s *script, _ *Reflector, told *scribe) {
				w := <-s.watches
				pass(c.after)
				told.take()
				c.end(w)
				pass(time.Second)
				synctest.Wait()
				require.Equal(t, c.want, told.take())
			})
		})
	}
}

func TestItPausesLongerWithEachFailure(t *testing.T) {
	for _, c := range []struct {
		err         error
		most, least int
	}{{errAny, 200, 60}, {rpctypes.ErrCompacted, 1000, 60}, {rpctypes.ErrPermissionDenied, 20, 4}} {
		following(t, func(s *script, _ *Reflector, told *scribe) {
			asked := 0
			s.fail(func(int64) error { asked++; return c.err })
			(<-s.watches).send(nil, c.err)
			pass(time.Minute)
			require.LessOrEqual(t, asked, c.most, "%v", c.err)
			require.GreaterOrEqual(t, asked, c.least, "%v", c.err)
			s.fail(nil)
			pass(15 * time.Second)
			synctest.Wait()
			lines := told.take()
			require.Equal(t, "following", lines[len(lines)-1])
		})
	}
}

func TestAskingEndsAPause(t *testing.T) {
	following(t, func(s *script, r *Reflector, told *scribe) {
		s.fail(func(int64) error { return rpctypes.ErrPermissionDenied })
		(<-s.watches).send(nil, errAny)
		pass(time.Minute)
		s.fail(nil)
		told.take()
		r.Relist()
		synctest.Wait()
		require.Equal(t, []string{"listing", "replace 7", "following"}, told.take())
	})
}
