package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/iostreams"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/internal/brake"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

var keyspace = catalog.Keyspace{Prefix: etcd.DefaultPrefix}

func recordKey(id string) string { return keyspace.Node("greeter", id) }

func noticeKey(id string) string { return keyspace.Notice(recordKey(id)) }

// lasting puts a record of each node on a lease of its own, as somebody's process that isn't there.
func lasting(tb testing.TB, c *clientv3.Client, s *registry.Service) {
	tb.Helper()
	for _, n := range s.Nodes {
		lease, err := c.Grant(tb.Context(), 600)
		require.NoError(tb, err)
		one := *s
		one.Nodes = []*registry.Node{n}
		put(tb, c, keyspace.Node(s.Name, n.Id), stored(tb, &one), clientv3.WithLease(lease.ID))
	}
}

// owners acknowledges each drain of greeter's nodes, as their processes do if they use this registry.
func owners(tb testing.TB, c *clientv3.Client) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	drains := c.Watch(ctx, keyspace.Notices("greeter"), clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-drains // it is created
	var done sync.WaitGroup
	done.Go(func() {
		for response := range drains {
			for _, event := range response.Events {
				acknowledge(ctx, c, event)
			}
		}
	})
	tb.Cleanup(func() {
		cancel()
		done.Wait()
	})
}

func acknowledge(ctx context.Context, c *clientv3.Client, event *clientv3.Event) {
	n, err := catalog.DecodeNotice(event.Kv.Value)
	if err != nil || n.By == "" || !n.Acknowledged.IsZero() {
		return // as it does with the notice of its own checks
	}
	n.Acknowledged = time.Now()
	value, err := catalog.EncodeNotice(*n)
	if err != nil {
		return
	}
	key := string(event.Kv.Key)
	_, _ = c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", event.Kv.ModRevision)).
		Then(clientv3.OpPut(key, string(value), clientv3.WithLease(clientv3.LeaseID(event.Kv.Lease)))).Commit()
}

// at returns what is at a key, or nil.
func at(tb testing.TB, c *clientv3.Client, key string) *mvccpb.KeyValue {
	tb.Helper()
	got, err := c.Get(tb.Context(), key)
	require.NoError(tb, err)
	if len(got.Kvs) == 0 {
		return nil
	}
	return got.Kvs[0]
}

// noticeAt requires a notice of a node, and no record.
func noticeAt(tb testing.TB, c *clientv3.Client, id string) *catalog.Notice {
	tb.Helper()
	require.Nil(tb, at(tb, c, recordKey(id)))
	kv := at(tb, c, noticeKey(id))
	require.NotNil(tb, kv)
	n, err := catalog.DecodeNotice(kv.Value)
	require.NoError(tb, err)
	return n
}

// putNotice puts a notice in the place of a node's record, on its lease.
func putNotice(tb testing.TB, c *clientv3.Client, id string, n catalog.Notice) {
	tb.Helper()
	record := at(tb, c, recordKey(id))
	n.Record = record.Value
	value, err := catalog.EncodeNotice(n)
	require.NoError(tb, err)
	lease := clientv3.WithLease(clientv3.LeaseID(record.Lease))
	_, err = c.Txn(tb.Context()).Then(
		clientv3.OpPut(noticeKey(id), string(value), lease), clientv3.OpDelete(recordKey(id)),
	).Commit()
	require.NoError(tb, err)
}

// drainOf is a drain of a service's nodes that was asked for nothing else.
func drainOf(c *clientv3.Client, service string) *drain {
	a := &app{Streams: iostreams.Streams{Err: io.Discard}, flags: connect.Flags{Timeout: patience}}
	return &drain{app: a, source: fleet.Source{Client: c, Service: service}, operator: "alice@ops"}
}

func TestADrainedNodeComesBackAsItWas(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	register(t, open(t, srv), greeter("1", "80", "81"))
	before := at(t, c, recordKey("80"))

	r := start(t, srv, strings.NewReader("y\n"), "drain", "greeter", "80", "--reason", "heap dump")
	require.Equal(t, exitOK, r.wait(), r.err.String())
	require.Contains(t, r.err.String(), "Take 1 node of service greeter out of service? [y/N] ")
	require.Contains(t, r.err.String(), "Node 80 of service greeter is out of service at revision ")
	require.Contains(t, r.err.String(), "\nAcknowledged by its process.\n")
	n := noticeAt(t, c, "80")
	require.Equal(t, "heap dump", n.Reason)
	require.Regexp(t, `^.+@.+$`, n.By)
	require.WithinDuration(t, time.Now(), n.Since, time.Minute)
	require.True(t, n.Until.IsZero())
	require.Equal(t, string(before.Value), string(n.Record))
	require.Equal(t, before.Lease, at(t, c, noticeKey("80")).Lease)
	seen, err := open(t, srv).GetService("greeter")
	require.NoError(t, err)
	require.Len(t, seen[0].Nodes, 1)

	r = start(t, srv, strings.NewReader("y\n"), "undrain", "greeter", "80")
	require.Equal(t, exitOK, r.wait(), r.err.String())
	require.Contains(t, r.err.String(), "out of service since ")
	require.Contains(t, r.err.String(), ": heap dump; lease ")
	require.Contains(t, r.err.String(), "Node 80 of service greeter is in service at revision ")
	after := at(t, c, recordKey("80"))
	require.Equal(t, string(before.Value), string(after.Value))
	require.Equal(t, before.Lease, after.Lease)
	require.Nil(t, at(t, c, noticeKey("80")))
	_, said := must(t, exitOK, srv, "undrain", "greeter", "80", "--yes")
	require.Contains(t, said, "Node 80 of service greeter is in service.\nNothing to undrain.\n")
}

func TestDrainAndUndrainDoNothingUnasked(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	lasting(t, c, greeter("1", "80", "81"))
	before := at(t, c, recordKey("80"))
	must(t, exitFailed, srv, "drain", "greeter", "80")
	r := start(t, srv, strings.NewReader("n\n"), "drain", "greeter", "80")
	require.Equal(t, exitNo, r.wait())
	require.True(t, strings.HasSuffix(r.err.String(), "micro-etcd: nothing drained\n"), r.err.String())
	require.Equal(t, before.ModRevision, at(t, c, recordKey("80")).ModRevision)

	putNotice(t, c, "80", catalog.Notice{By: "alice@ops"})
	must(t, exitFailed, srv, "undrain", "greeter", "80")
	r = start(t, srv, strings.NewReader("n\n"), "undrain", "greeter", "80")
	require.Equal(t, exitNo, r.wait())
	require.True(t, strings.HasSuffix(r.err.String(), "micro-etcd: nothing undrained\n"), r.err.String())
	noticeAt(t, c, "80")

	for _, args := range [][]string{
		{},
		{"greeter"},
		{"greeter", ""},
		{"", "80"},
		{"greeter", "80", "81"},
		{"greeter", "80", "--all"},
		{"greeter", "80", "--version", "1"},
		{"greeter", "--all", "--label", "a=b"},
		{"greeter", "--label", "a"},
	} {
		must(t, exitFailed, srv, append([]string{"drain", "--yes"}, args...)...)
		must(t, exitFailed, srv, append([]string{"undrain", "--yes"}, args...)...)
	}
	must(t, exitFailed, srv, "drain", "greeter", "81", "--for", "-1s", "--yes")
	must(t, exitNo, srv, "drain", "greeter", "82", "--yes")
	must(t, exitNo, srv, "undrain", "greeter", "82", "--yes")
	must(t, exitNo, srv, "drain", "nosuch", "--all", "--yes")
}

func TestANodeThatChangedSinceItWasShownIsLeftAlone(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	register(t, open(t, srv), greeter("1", "80", "81", "82"))
	rewrite := func() string { put(t, c, recordKey("80"), get(t, c, recordKey("80"))); return "y\n" }
	r := start(t, srv, answers(rewrite), "drain", "greeter", "80")
	require.Equal(t, exitNo, r.wait())
	require.Contains(t, r.err.String(), recordKey("80")+" has changed since it was shown")
	require.Nil(t, at(t, c, noticeKey("80")))

	elsewhere := func() string { putNotice(t, c, "81", catalog.Notice{By: "bob@ops"}); return "y\n" }
	r = start(t, srv, answers(elsewhere), "drain", "greeter", "81")
	require.Equal(t, exitNo, r.wait())
	require.Equal(t, "bob@ops", noticeAt(t, c, "81").By)

	again := func() string { put(t, c, recordKey("81"), stored(t, greeter("2", "81"))); return "y\n" }
	r = start(t, srv, answers(again), "undrain", "greeter", "81")
	require.Equal(t, exitNo, r.wait())
	require.Contains(t, r.err.String(), "has changed since it was shown")
	require.Equal(t, stored(t, greeter("2", "81")), get(t, c, recordKey("81")))
}

// raced is a client's KV that does something right before the first transaction.
type raced struct {
	clientv3.KV
	once   *sync.Once
	before func()
}

func (r raced) Txn(ctx context.Context) clientv3.Txn {
	r.once.Do(r.before)
	return r.KV.Txn(ctx)
}

func TestAGuardThatAnotherNodesExitBreaksIsCountedAnew(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	for nodes, want := range map[int]bool{4: true, 3: false} {
		var ids []string
		for i := range nodes {
			ids = append(ids, fmt.Sprint(80+i))
		}
		s := greeter("1", ids...)
		s.Name = fmt.Sprint("raced", nodes)
		lasting(t, c, s)
		mine, other := keyspace.Node(s.Name, "80"), keyspace.Node(s.Name, "81")
		racing := srv.Client(t)
		racing.KV = raced{racing.KV, new(sync.Once), func() {
			value, err := catalog.EncodeNotice(catalog.Notice{Record: []byte(get(t, c, other))})
			require.NoError(t, err)
			_, err = c.Txn(t.Context()).Then(
				clientv3.OpPut(keyspace.Notice(other), string(value)), clientv3.OpDelete(other),
			).Commit()
			require.NoError(t, err)
		}}
		d := drainOf(racing, s.Name)
		all, err := d.choose(t.Context(), &d.source, &selection{service: s.Name, node: "80"})
		require.NoError(t, err)
		_, err = d.leave(t.Context(), all[0], "x")
		if want {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, "stopped: 1 of 3 nodes of service raced3 are out of service")
		}
		require.Equal(t, want, at(t, c, mine) == nil)
	}
}

func TestTheBrakeStopsABulkDrainAtHalf(t *testing.T) {
	for nodes, want := range map[int]int{1: 0, 2: 1, 3: 1, 4: 2, 5: 2} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			srv := etcdtest.Start(t)
			c := srv.Client(t)
			var ids []string
			for i := range nodes {
				ids = append(ids, fmt.Sprint(80+i))
			}
			lasting(t, c, greeter("1", ids...))
			owners(t, c)
			_, said := must(t, exitNo, srv, "drain", "greeter", "--all", "--yes")
			require.Contains(t, said, fmt.Sprintf("Warning: at most half of a service may be out of service, so this stops after %d of ", want))
			require.Contains(t, said, "; not done: "+strings.Join(ids[want:], ", ")+"\n")
			if nodes > 1 {
				require.Contains(t, said, fmt.Sprintf("stopped: %d of %d nodes of service greeter are out of service", want, nodes))
				require.Contains(t, said, "; done: "+strings.Join(ids[:want], ", ")+";")
			} else {
				require.Contains(t, said, "service greeter has no other node")
			}
			_, said = must(t, exitOK, srv, "drain", "greeter", "--all", "--yes", "--force")
			require.Equal(t, want, strings.Count(said, "is drained already"))
			s := as[[]service](t, srv, "services")[0]
			require.Equal(t, []int{0, nodes}, []int{s.Nodes, s.Out})
			must(t, exitOK, srv, "undrain", "greeter", "--all", "--yes")
			s = as[[]service](t, srv, "services")[0]
			require.Equal(t, []int{nodes, 0}, []int{s.Nodes, s.Out})
		})
	}
}

func TestManyDrainsAtATimeNeverExceedTheBrake(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	const nodes, drains = 9, 4
	var ids []string
	for i := range nodes {
		ids = append(ids, fmt.Sprint(80+i))
	}
	register(t, open(t, srv), greeter("1", ids...))
	began, err := c.Get(t.Context(), keyspace.Dir("greeter"), clientv3.WithPrefix())
	require.NoError(t, err)

	var all []*running
	for range drains {
		all = append(all, start(t, srv, nil, "drain", "greeter", "--all", "--yes"))
	}
	for _, r := range all {
		require.Equal(t, exitNo, r.wait(), r.err.String())
	}
	end, err := c.Get(t.Context(), keyspace.Dir("greeter"), clientv3.WithPrefix())
	require.NoError(t, err)
	left := brake.Count(keyspace, "greeter", end.Kvs, end.Header.Revision)
	require.Equal(t, []int{nodes - nodes/2, nodes / 2}, []int{left.In, left.Out})

	// now as it went
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	keys := make(map[string]*mvccpb.KeyValue)
	for _, kv := range began.Kvs {
		keys[string(kv.Key)] = kv
	}
	history := c.Watch(ctx, keyspace.Dir("greeter"), clientv3.WithPrefix(), clientv3.WithRev(began.Header.Revision+1))
	exits := 0
	for revision := int64(0); revision < end.Kvs[0].ModRevision || exits < nodes/2; {
		response := <-history
		require.NoError(t, response.Err())
		for _, event := range response.Events {
			key := string(event.Kv.Key)
			if _, isNotice := keyspace.OfNotice(key); isNotice && event.IsCreate() {
				left := brake.Count(keyspace, "greeter", values(keys), event.Kv.ModRevision)
				require.True(t, left.MayLeave(), "at revision %d: %+v", event.Kv.ModRevision, left)
				exits++
			}
			if keys[key] = event.Kv; event.Type == clientv3.EventTypeDelete {
				delete(keys, key)
			}
			revision = event.Kv.ModRevision
		}
	}
	require.Equal(t, nodes/2, exits)
}

func values(keys map[string]*mvccpb.KeyValue) []*mvccpb.KeyValue {
	var all []*mvccpb.KeyValue
	for _, kv := range keys {
		all = append(all, kv)
	}
	return all
}

func TestBulkDrainsWhatMatchesAll(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	one, two := greeter("1", "80", "81", "82"), greeter("2\t", "90", "91", "92")
	one.Nodes[1].Metadata["rack"], one.Nodes[2].Metadata["zone"] = "7", "b"
	lasting(t, c, one)
	lasting(t, c, two)
	owners(t, c)
	drained := func() []string {
		var ids []string
		for _, r := range as[[]record](t, srv, "nodes", "greeter") {
			if r.State == stateOut {
				ids = append(ids, r.Node)
			}
		}
		return ids
	}
	must(t, exitNo, srv, "drain", "greeter", "--label", "zone=c", "--yes")
	must(t, exitOK, srv, "drain", "greeter", "--label", "zone=a", "--label", "rack=7", "--yes")
	require.Equal(t, []string{"81"}, drained())
	must(t, exitOK, srv, "drain", "greeter", "--label", "zone=a", "--version", "1", "--yes")
	require.Equal(t, []string{"80", "81"}, drained())
	must(t, exitOK, srv, "undrain", "greeter", "--version", "1", "--yes")
	require.Empty(t, drained())
	must(t, exitOK, srv, "drain", "greeter", "--version", `2\t`, "--yes")
	require.Equal(t, []string{"90", "91", "92"}, drained())
	_, said := must(t, exitOK, srv, "drain", "greeter", "--version", `2\t`, "--yes")
	require.Equal(t, 3, strings.Count(said, "is drained already, since "))
}

func TestBulkGoesOnAfterANodeThatChanged(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	register(t, open(t, srv), greeter("1", "80", "81", "82", "83"))
	change := func() string { put(t, c, recordKey("80"), stored(t, greeter("3", "80"))); return "y\n" }
	r := start(t, srv, answers(change), "drain", "greeter", "--version", "1", "--force")
	require.Equal(t, exitNo, r.wait())
	require.Contains(t, r.err.String(), recordKey("80")+" has changed since it was shown")
	require.NotNil(t, at(t, c, recordKey("80")))
	for _, id := range []string{"81", "82", "83"} {
		noticeAt(t, c, id)
	}
}

func TestDrainSaysThatNobodyAcknowledges(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	lasting(t, c, greeter("1", "80", "81"))
	_, said := must(t, exitOK, srv, "drain", "greeter", "80", "--yes")
	require.Contains(t, said, "Not acknowledged: the owner uses another registry plugin, can't write to etcd or is gone.")
	require.True(t, noticeAt(t, c, "80").Acknowledged.IsZero())
}

func TestAnEndThatNobodyWillKeepUndoesTheDrain(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	lasting(t, c, greeter("1", "80", "81"))
	before := at(t, c, recordKey("80"))
	_, said := must(t, exitNo, srv, "drain", "greeter", "80", "--for", "10m", "--yes")
	require.Contains(t, said, "--for can't be kept for node 80")
	require.Contains(t, said, "; the drain was undone")
	after := at(t, c, recordKey("80"))
	require.Equal(t, string(before.Value), string(after.Value))
	require.Equal(t, before.Lease, after.Lease)
	require.Nil(t, at(t, c, noticeKey("80")))

	// of one that is out already only the end is undone
	must(t, exitOK, srv, "drain", "greeter", "80", "--reason", "first", "--yes")
	first := noticeAt(t, c, "80")
	_, said = must(t, exitNo, srv, "drain", "greeter", "80", "--reason", "second", "--for", "10m", "--yes")
	require.Contains(t, said, "; the drain was undone")
	require.Equal(t, first, noticeAt(t, c, "80"))
}

func TestAnEndIsKeptByTheProcessThatAcknowledges(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	register(t, open(t, srv), greeter("1", "80", "81"))
	must(t, exitOK, srv, "drain", "greeter", "80", "--for", "10m", "--reason", "first", "--yes")
	first := noticeAt(t, c, "80")
	require.WithinDuration(t, first.Since.Add(10*time.Minute), first.Until, time.Minute, "by the clock of its process")

	_, said := must(t, exitOK, srv, "drain", "greeter", "80", "--yes")
	require.Contains(t, said, "Node 80 is drained already, since ")
	require.Equal(t, first, noticeAt(t, c, "80"))
	_, said = must(t, exitOK, srv, "drain", "greeter", "80", "--reason", "second", "--yes")
	require.Contains(t, said, "Its notice is replaced.")
	second := noticeAt(t, c, "80")
	require.Equal(t, []any{first.Since, first.Until, "second"}, []any{second.Since, second.Until, second.Reason})
	require.False(t, second.Acknowledged.IsZero())
	must(t, exitOK, srv, "drain", "greeter", "80", "--for", "1h", "--yes")
	third := noticeAt(t, c, "80")
	require.Equal(t, "second", third.Reason)
	require.Greater(t, third.Until, first.Until.Add(40*time.Minute))
	must(t, exitOK, srv, "drain", "greeter", "80", "--for", "10ms", "--yes")
	require.Eventually(t, func() bool { return at(t, c, recordKey("80")) != nil }, patience, 10*time.Millisecond)
	require.Nil(t, at(t, c, noticeKey("80")))
}

func TestADrainReplacesTheNoticeOfTheNodesOwnChecks(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	lasting(t, c, greeter("1", "80", "81"))
	owners(t, c)
	before := at(t, c, recordKey("80"))
	putNotice(t, c, "80", catalog.Notice{Reason: "tcp: refused", Since: time.Now().Add(-time.Hour)})

	_, said := must(t, exitOK, srv, "undrain", "greeter", "--all", "--yes")
	require.Contains(t, said, "Node 80 stays out of service: its own health checks took it out.")
	_, said = must(t, exitOK, srv, "drain", "greeter", "80", "--yes")
	require.Contains(t, said, "by its own health checks: tcp: refused; lease ")
	n := noticeAt(t, c, "80")
	require.NotEmpty(t, n.By)
	require.Empty(t, n.Reason)
	require.WithinDuration(t, time.Now(), n.Since, time.Minute)
	require.Equal(t, string(before.Value), string(n.Record))

	must(t, exitOK, srv, "undrain", "greeter", "80", "--yes")
	putNotice(t, c, "80", catalog.Notice{Reason: "tcp: refused"})
	must(t, exitOK, srv, "undrain", "greeter", "80", "--yes")
	require.Equal(t, before.Lease, at(t, c, recordKey("80")).Lease)
}

func TestUndrainMeetsTheAcknowledgment(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	lasting(t, c, greeter("1", "80", "81"))
	since := time.Now().UTC().Truncate(time.Second)
	putNotice(t, c, "80", catalog.Notice{By: "alice@ops", Since: since})
	a := drainOf(c, "greeter").app
	source := fleet.Source{Client: c, Service: "greeter"}
	shown, err := a.choose(t.Context(), &source, &selection{service: "greeter", node: "80"})
	require.NoError(t, err)
	acknowledge(t.Context(), c, &clientv3.Event{Kv: at(t, c, noticeKey("80"))})
	_, err = a.putBackLatest(t.Context(), source, shown[0])
	require.NoError(t, err)
	require.NotNil(t, at(t, c, recordKey("80")))

	putNotice(t, c, "80", catalog.Notice{By: "bob@ops", Since: since.Add(time.Second)})
	_, err = a.putBackLatest(t.Context(), source, shown[0])
	require.ErrorIs(t, err, errStale, "that is another drain")
	require.NotNil(t, noticeAt(t, c, "80"))
}

func TestARecordWithoutALeaseIsDrainedWithoutAnEnd(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	put(t, c, recordKey("80"), stored(t, greeter("1", "80")))
	lasting(t, c, greeter("1", "81"))
	_, said := must(t, exitNo, srv, "drain", "greeter", "--version", "1", "--for", "10m", "--yes", "--force")
	require.Contains(t, said, "nothing drained: --for can't be kept for 80")
	require.Len(t, as[[]record](t, srv, "nodes", "greeter"), 2)
	require.Nil(t, at(t, c, noticeKey("81")))

	_, said = must(t, exitOK, srv, "drain", "greeter", "80", "--yes")
	require.Contains(t, said, "no lease, so it stays out until somebody runs micro-etcd undrain")
	require.Zero(t, at(t, c, noticeKey("80")).Lease)
	noticeAt(t, c, "80")
	must(t, exitOK, srv, "undrain", "greeter", "80", "--yes")
	require.Zero(t, at(t, c, recordKey("80")).Lease)
}

func TestWhatIsNoNoticeIsNotOverwritten(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	lasting(t, c, greeter("1", "80", "81", "82", "83"))
	for _, junk := range []string{
		"junk", `out-of-service {"format":2,"since":"2026-11-29T04:00:00Z"}`, `out-of-service {"format":1}`,
	} {
		put(t, c, noticeKey("80"), junk)
		_, said := must(t, exitNo, srv, "drain", "greeter", "80", "--yes")
		require.Contains(t, said, noticeKey("80")+" holds no notice that this version can read")
		must(t, exitNo, srv, "undrain", "greeter", "80", "--yes")
		require.NotNil(t, at(t, c, recordKey("80")))
		require.Equal(t, junk, get(t, c, noticeKey("80")))
		out, _ := must(t, exitNo, srv, "doctor")
		require.Contains(t, out, "(malformed)")
	}
	_, err := c.Delete(t.Context(), recordKey("80"))
	require.NoError(t, err)
	for _, command := range []string{"drain", "undrain"} {
		_, said := must(t, exitNo, srv, command, "greeter", "80", "--yes")
		require.Contains(t, said, "holds no notice that this version can read")
	}
	must(t, exitOK, srv, "deregister", "--record-key", noticeKey("80"), "--yes")
	must(t, exitOK, srv, "drain", "greeter", "81", "--yes")
}

func TestOfARecordAndANoticeTheRecordCounts(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	lasting(t, c, greeter("1", "80", "81")) // their process would tidy up
	before := at(t, c, recordKey("80"))
	beside := func() {
		putNotice(t, c, "80", catalog.Notice{By: "alice@ops"})
		put(t, c, recordKey("80"), string(before.Value), clientv3.WithLease(clientv3.LeaseID(before.Lease)))
	}
	beside()
	require.Equal(t, []service{{"greeter", 2, 0, []serviceVersion{{"1", 2, 0}}}}, as[[]service](t, srv, "services"))
	written := at(t, c, recordKey("80")).ModRevision
	_, said := must(t, exitOK, srv, "undrain", "greeter", "80", "--yes")
	require.Contains(t, said, "it is in service; the notice is removed")
	require.Nil(t, at(t, c, noticeKey("80")))
	require.Equal(t, written, at(t, c, recordKey("80")).ModRevision)
	beside()
	must(t, exitOK, srv, "drain", "greeter", "80", "--yes")
	require.NotEqual(t, "alice@ops", noticeAt(t, c, "80").By)
}

func TestDrainSaysWhatBecameOfANodeMeanwhile(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	for want, happens := range map[string]func(id string){
		"is back in service": func(id string) {
			must(t, exitOK, srv, "undrain", "greeter", id, "--yes")
		},
		"is gone": func(id string) {
			_, err := c.Revoke(t.Context(), clientv3.LeaseID(at(t, c, noticeKey(id)).Lease))
			require.NoError(t, err)
		},
		"was changed meanwhile": func(id string) {
			kv := at(t, c, noticeKey(id))
			put(t, c, noticeKey(id), string(kv.Value), clientv3.WithLease(clientv3.LeaseID(kv.Lease)))
		},
	} {
		lasting(t, c, greeter("1", "80", "81"))
		r := start(t, srv, nil, "drain", "greeter", "80", "--for", "1h", "--yes")
		r.says("Node 80 of service greeter is out of service")
		happens("80")
		code := exitNo
		if want == "is gone" {
			code = exitOK
		}
		require.Equal(t, code, r.wait(), r.err.String())
		require.Contains(t, r.err.String(), want)
		_, err := c.Delete(t.Context(), keyspace.Dir("greeter"), clientv3.WithPrefix())
		require.NoError(t, err)
	}
}

func TestADrainThatIsInterruptedSaysWhatStands(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	for _, end := range []string{"", "10m"} {
		lasting(t, c, greeter("1", "80", "81"))
		args := []string{"drain", "greeter", "--all", "--yes", "--force"}
		if end != "" {
			args = append(args, "--for", end)
		}
		r := start(t, srv, nil, args...)
		r.says("Node 80 of service greeter is out of service")
		require.Equal(t, exitFailed, r.stop())
		require.Contains(t, r.err.String(), "interrupted before it was clear whether the process of node 80 acknowledges the drain")
		require.Contains(t, r.err.String(), "stays out of service")
		require.True(t, strings.HasSuffix(r.err.String(), "; not done: 81\n"), r.err.String())
		noticeAt(t, c, "80")
		require.NotNil(t, at(t, c, recordKey("81")))
		must(t, exitOK, srv, "undrain", "greeter", "80", "--yes")
	}
}

func TestDrainNeedsToReadAndWriteTheDirectory(t *testing.T) {
	srv := etcdtest.Start(t, cheapPasswords)
	c := srv.Client(t)
	lasting(t, c, greeter("1", "80", "81", "82"))
	putNotice(t, c, "82", catalog.Notice{By: "alice@ops"})
	withRoles(t, srv)
	file := passwordFile(t)
	as := func(user string) []string { return []string{"--user", user, "--password-file", file, "--yes"} }
	const hint = "etcdctl role grant-permission ROLE --prefix=true readwrite /micro/registry/greeter/"
	for _, user := range []string{"consumer", "writer", "nobody"} {
		_, said := must(t, exitFailed, srv, append([]string{"drain", "greeter", "80", "--force"}, as(user)...)...)
		require.Contains(t, said, hint)
		_, said = must(t, exitFailed, srv, append([]string{"undrain", "greeter", "82"}, as(user)...)...)
		require.Contains(t, said, hint)
	}
	must(t, exitNo, srv, append([]string{"drain", "greeter", "80"}, as("provider")...)...) // the brake
	must(t, exitOK, srv, append([]string{"undrain", "greeter", "82"}, as("provider")...)...)
	must(t, exitOK, srv, append([]string{"drain", "greeter", "80"}, as("provider")...)...)
}

func TestDeregisterRemovesANodeThatIsOutOfService(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	lasting(t, c, greeter("1", "80", "81"))
	putNotice(t, c, "80", catalog.Notice{By: "alice@ops"})
	_, said := must(t, exitOK, srv, "deregister", "greeter", "80", "--yes")
	require.Contains(t, said, "out of service since ")
	require.Nil(t, at(t, c, noticeKey("80")))
	require.Nil(t, at(t, c, recordKey("80")))
	_, said = must(
		t, exitFailed, srv, "register", "--service", "greeter", "--address", "10.0.0.1:80", "--yes", "--ttl", "0",
		"--node", ".out-of-service/80",
	)
	require.Contains(t, said, ".out-of-service/80")
}

func TestCompletionKnowsWhichNodesAreOutOfService(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	lasting(t, c, greeter("1", "80", "81"))
	other := greeter("1", "90")
	other.Name = "other"
	lasting(t, c, other)
	putNotice(t, c, "80", catalog.Notice{By: "alice@ops"})
	complete := func(args ...string) []string {
		out, _ := must(t, exitOK, nil, append([]string{"__complete", args[0], "-a", srv.Endpoint()}, args[1:]...)...)
		return strings.Fields(out)
	}
	require.Equal(t, []string{"greeter", "other", ":4"}, complete("drain", ""))
	require.Equal(t, []string{"81", ":4"}, complete("drain", "greeter", ""))
	require.Equal(t, []string{"greeter", ":4"}, complete("undrain", ""))
	require.Equal(t, []string{"80", ":4"}, complete("undrain", "greeter", ""))
	require.Equal(t, []string{":4"}, complete("undrain", "greeter", "80", ""))
}

func TestAnAcknowledgmentThatComesWhileTheDrainIsUndoneCounts(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	lasting(t, c, greeter("1", "80", "81"))
	d := drainOf(c, "greeter")
	var said buffer
	d.Err, d.period = &said, time.Hour
	all, err := d.choose(t.Context(), &d.source, &selection{service: "greeter", node: "80"})
	require.NoError(t, err)
	n, err := d.noticeOf(t.Context(), all[0])
	require.NoError(t, err)
	value, err := catalog.EncodeNotice(*n)
	require.NoError(t, err)
	_, err = d.leave(t.Context(), all[0], string(value))
	require.NoError(t, err)
	late, err := all[0].look(t.Context(), d.source)
	require.NoError(t, err)
	acknowledge(t.Context(), c, &clientv3.Event{Kv: at(t, c, noticeKey("80"))})
	require.NoError(t, d.undo(t.Context(), all[0], late.notice))
	require.Equal(t, "Acknowledged by its process.\n", said.String())
	require.False(t, noticeAt(t, c, "80").Acknowledged.IsZero())
}

func TestALeaseThatEndsBeforeTheAnswerIsAChange(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	for _, command := range []string{"drain", "undrain"} {
		lasting(t, c, greeter("1", "80", "81"))
		if command == "undrain" {
			putNotice(t, c, "80", catalog.Notice{By: "alice@ops"})
		}
		revoke := func() string {
			kv := at(t, c, recordKey("80"))
			if kv == nil {
				kv = at(t, c, noticeKey("80"))
			}
			_, err := c.Revoke(t.Context(), clientv3.LeaseID(kv.Lease))
			require.NoError(t, err)
			return "y\n"
		}
		r := start(t, srv, answers(revoke), command, "greeter", "80")
		require.Equal(t, exitNo, r.wait(), r.err.String())
		require.Regexp(t, `has changed since it was shown|the lease of .* has ended`, r.err.String())
		require.Nil(t, at(t, c, recordKey("80")))
		require.Nil(t, at(t, c, noticeKey("80")))
	}
}

func TestWhatEtcdDidNotAnswerIsUnclear(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	lasting(t, c, greeter("1", "80", "81", "82"))
	d := drainOf(c, "greeter")
	d.flags.Timeout, d.force = time.Second, true
	all, err := d.choose(t.Context(), &d.source, &selection{service: "greeter"})
	require.NoError(t, err)
	c.KV = raced{c.KV, new(sync.Once), srv.Stop}
	err = oneByOne(t.Context(), d.source, all, d.one)
	require.ErrorContains(t, err, "unclear whether "+recordKey("80")+" was changed: ")
	require.ErrorContains(t, err, "; not done: 81, 82")
	require.Equal(t, exitFailed, exitOf(err).code)
}
