package fleet

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
)

// follower is a Follow under way.
type follower struct {
	t      testing.TB
	events chan Event
	cancel context.CancelFunc
	done   chan error
}

func follow(tb testing.TB, s Source) *follower {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	f := &follower{t: tb, events: make(chan Event, 1000), cancel: cancel, done: make(chan error, 1)}
	go func() {
		f.done <- s.Follow(ctx, func(events []Event) {
			for _, e := range events {
				f.events <- e
			}
		})
	}()
	tb.Cleanup(func() {
		cancel()
		require.ErrorIs(tb, <-f.done, context.Canceled)
	})
	return f
}

func (f *follower) next(kind Kind) Event {
	f.t.Helper()
	select {
	case e := <-f.events:
		require.Equal(f.t, kind.String(), e.Kind.String(), "%+v", e)
		return e
	case <-time.After(patience):
		require.FailNow(f.t, "no event", "want %s", kind)
		return Event{}
	}
}

func TestFollowTellsWhatThereIsAndWhatChanges(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	put(t, c, "/micro/registry/a/1", node("a", "1"))
	f := follow(t, Source{Client: c})
	first := f.next(Appeared)
	require.True(t, first.Record.Before)
	require.EqualValues(t, 2, f.next(Connected).Revision)

	put(t, c, "/micro/registry/a/1", node("a", "one"))
	changed := f.next(Changed)
	require.Same(t, first.Record, changed.Before)
	require.Equal(t, "one", changed.Record.Node().Id)
	require.Equal(t, first.Record.Seen, changed.Record.Seen)

	put(t, c, "/micro/registry/a/2", node("a", "2"))
	require.False(t, f.next(Appeared).Record.Before)
	remove(t, c, "/micro/registry/a/1")
	gone := f.next(Gone)
	require.Same(t, changed.Record, gone.Before)
	require.EqualValues(t, 5, gone.Revision)
}

func TestFollowSaysThatEtcdIsAwayAndThenTheDifference(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	for _, id := range []string{"1", "2", "3"} {
		put(t, c, "/micro/registry/a/"+id, node("a", id))
	}
	f := follow(t, Source{Client: c, Timeout: time.Second})
	f.next(Appeared)
	f.next(Appeared)
	f.next(Appeared)
	f.next(Connected)
	srv.Stop()
	require.ErrorIs(t, f.next(Disconnected).Err, errLost)
	require.NoError(t, srv.Restart())
	f.next(Connected)

	put(t, c, "/micro/registry/a/4", node("a", "4"))
	f.next(Appeared)
}

func TestADifferenceTellsWhatWentCameAndWasMadeAgain(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	s := Source{Client: c}
	for _, id := range []string{"removed", "written", "again", "same"} {
		put(t, c, "/micro/registry/a/"+id, node("a", id))
	}
	var told []Event
	f := newFollowing(s, newConnection(t.Context(), c), func(events []Event) { told = append(told, events...) })
	f.replace(read(t, s))
	require.Len(t, told, 5)

	remove(t, c, "/micro/registry/a/removed")
	remove(t, c, "/micro/registry/a/again")
	put(t, c, "/micro/registry/a/again", node("a", "again"))
	put(t, c, "/micro/registry/a/written", node("a", "other"))
	put(t, c, "/micro/registry/a/new", node("a", "new"))
	told = nil
	f.replace(read(t, s))
	var kinds []string
	for _, e := range told {
		r := e.Record
		if r == nil {
			r = e.Before
		}
		kinds = append(kinds, e.Kind.String()+" "+r.Key[len("/micro/registry/a/"):])
	}
	require.Equal(t, []string{"gone removed", "gone again", "appeared again", "appeared new", "changed written"}, kinds)
}

func TestFollowOfOneServiceLeavesOutItsNeighbor(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	put(t, c, "/micro/registry/a-b/1", node("a-b", "1"))
	put(t, c, "/micro/registry/a-b/2", node("a/b", "2"))
	f := follow(t, Source{Client: c, Service: "a/b"})
	require.Equal(t, "2", f.next(Appeared).Record.Node().Id)
	f.next(Connected)
	put(t, c, "/micro/registry/a-b/3", node("a-b", "3"))
	put(t, c, "/micro/registry/a-b/2", node("a-b", "2")) // the other one takes it over
	f.next(Gone)
}

func TestAProbeFindsAnotherHistoryAndAnotherNumberOfKeys(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	s := Source{Client: c, Service: "a/b"}
	put(t, c, "/micro/registry/a-b/1", node("a-b", "1"))
	put(t, c, "/micro/registry/a-b/2", node("a/b", "2"))
	f := newFollowing(s, newConnection(t.Context(), c), func([]Event) {})
	f.replace(read(t, s))
	same, err := f.probe(t.Context())
	require.NoError(t, err)
	require.True(t, same)

	put(t, c, "/micro/registry/a-b/3", node("a/b", "3"))
	same, err = f.probe(t.Context())
	require.NoError(t, err)
	require.False(t, same)

	later := *f.seen.Load()
	later.revision += 10
	f.seen.Store(&later)
	_, err = f.probe(t.Context())
	require.ErrorIs(t, err, errRewritten)
}

func TestFollowFindsThatEtcdLostItsData(t *testing.T) {
	dir := t.TempDir()
	srv, err := etcdtest.Run(dir)
	require.NoError(t, err)
	t.Cleanup(srv.Stop)
	c := srv.Client(t)
	put(t, c, "/micro/registry/a/1", node("a", "1"))
	put(t, c, "/micro/registry/a/2", node("a", "2"))
	f := follow(t, Source{Client: c, Timeout: time.Second})
	f.next(Appeared)
	f.next(Appeared)
	f.next(Connected)
	srv.Stop()
	f.next(Disconnected)
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, srv.Restart())
	require.Equal(t, "1", f.next(Gone).Before.Node().Id)
	require.Equal(t, "2", f.next(Gone).Before.Node().Id)
	require.EqualValues(t, 1, f.next(Connected).Revision)
	put(t, c, "/micro/registry/a/1", node("a", "1"))
	require.EqualValues(t, 2, f.next(Appeared).Record.Created)
}

// swap puts one key in the place of another.
func swap(tb testing.TB, c *clientv3.Client, from, to, value string) {
	tb.Helper()
	_, err := c.Txn(tb.Context()).Then(clientv3.OpPut(to, value), clientv3.OpDelete(from)).Commit()
	require.NoError(tb, err)
}

func TestFollowTellsARecordAndItsNoticeThatTakeEachOthersPlace(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	record, out := "/micro/registry/a/1", "/micro/registry/a/.out-of-service/1"
	one := node("a", "1")
	put(t, c, record, one)
	f := follow(t, Source{Client: c, Service: "a"})
	f.next(Appeared)
	f.next(Connected)

	pair := func(first, second Kind) (Event, Event) {
		x, y := f.next(first), f.next(second)
		require.Equal(t, x.Revision, y.Revision)
		return x, y
	}
	swap(t, c, record, out, notice(one, "alice@ops"))
	came, gone := pair(Appeared, Gone)
	require.True(t, came.Swap && gone.Swap)
	require.Equal(t, "alice@ops", came.Record.Notice.By)
	require.False(t, gone.Before.IsNotice())

	put(t, c, out, notice(one, "bob@ops"))
	changed := f.next(Changed)
	require.False(t, changed.Swap)
	require.Equal(t, "bob@ops", changed.Record.Notice.By)

	swap(t, c, out, record, one)
	came, gone = pair(Appeared, Gone)
	require.True(t, came.Swap && gone.Swap)
	require.True(t, gone.Before.IsNotice())

	// these aren't one
	put(t, c, out, notice(one, "alice@ops"))
	require.False(t, f.next(Appeared).Swap)
	remove(t, c, record)
	require.False(t, f.next(Gone).Swap)
	swap(t, c, out, "/micro/registry/a/2", node("a", "2"))
	came, gone = pair(Appeared, Gone)
	require.False(t, came.Swap || gone.Swap)
	swap(t, c, "/micro/registry/a/2", "/micro/registry/a/.out-of-service/2", "junk")
	came, gone = pair(Appeared, Gone)
	require.False(t, came.Swap || gone.Swap)
}

func TestADifferenceTellsASwapToo(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	s := Source{Client: c}
	for _, id := range []string{"1", "2"} {
		put(t, c, "/micro/registry/a/"+id, node("a", id))
	}
	var told []Event
	f := newFollowing(s, newConnection(t.Context(), c), func(events []Event) { told = append(told, events...) })
	f.replace(read(t, s))
	swap(t, c, "/micro/registry/a/1", "/micro/registry/a/.out-of-service/1", notice(node("a", "1"), ""))
	remove(t, c, "/micro/registry/a/2")
	told = nil
	f.replace(read(t, s))
	require.Len(t, told, 3)
	require.Equal(t, []bool{true, false, true}, []bool{told[0].Swap, told[1].Swap, told[2].Swap})
}
