package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/internal/brake"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// owners acknowledges each drain of greeter's nodes, as their processes do if they use this registry.
func owners(tb testing.TB, c *clientv3.Client) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	drains := c.Watch(ctx, fleettest.Keyspace.Notices("greeter"), clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-drains // it is created
	var done sync.WaitGroup
	done.Go(func() {
		for response := range drains {
			for _, event := range response.Events {
				fleettest.Acknowledge(ctx, c, event)
			}
		}
	})
	tb.Cleanup(func() {
		cancel()
		done.Wait()
	})
}

func TestADrainedNodeComesBackAsItWas(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	register(t, open(t, srv), fleettest.Greeter("1", "80", "81"))
	before := fleettest.At(t, c, fleettest.RecordKey("80"))

	r := start(t, srv, strings.NewReader("y\n"), "drain", "greeter", "80", "--reason", "heap dump")
	require.Equal(t, app.ExitOK, r.wait(), r.err.String())
	require.Contains(t, r.err.String(), "Take 1 node of service greeter out of service? [y/N] ")
	require.Contains(t, r.err.String(), "Node 80 of service greeter is out of service at revision ")
	require.Contains(t, r.err.String(), "\nAcknowledged by its process.\n")
	n := fleettest.NoticeAt(t, c, "80")
	require.Equal(t, "heap dump", n.Reason)
	require.Regexp(t, `^.+@.+$`, n.By)
	require.WithinDuration(t, time.Now(), n.Since, time.Minute)
	require.True(t, n.Until.IsZero())
	require.Equal(t, string(before.Value), string(n.Record))
	require.Equal(t, before.Lease, fleettest.At(t, c, fleettest.NoticeKey("80")).Lease)
	seen, err := open(t, srv).GetService("greeter")
	require.NoError(t, err)
	require.Len(t, seen[0].Nodes, 1)

	r = start(t, srv, strings.NewReader("y\n"), "undrain", "greeter", "80")
	require.Equal(t, app.ExitOK, r.wait(), r.err.String())
	require.Contains(t, r.err.String(), "out of service since ")
	require.Contains(t, r.err.String(), ": heap dump; lease ")
	require.Contains(t, r.err.String(), "Node 80 of service greeter is in service at revision ")
	after := fleettest.At(t, c, fleettest.RecordKey("80"))
	require.Equal(t, string(before.Value), string(after.Value))
	require.Equal(t, before.Lease, after.Lease)
	require.Nil(t, fleettest.At(t, c, fleettest.NoticeKey("80")))
	_, said := must(t, app.ExitOK, srv, "undrain", "greeter", "80", "--yes")
	require.Contains(t, said, "Node 80 of service greeter is in service.\nNothing to undrain.\n")
}

func TestDrainAndUndrainDoNothingUnasked(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81"))
	before := fleettest.At(t, c, fleettest.RecordKey("80"))
	must(t, app.ExitFailed, srv, "drain", "greeter", "80")
	r := start(t, srv, strings.NewReader("n\n"), "drain", "greeter", "80")
	require.Equal(t, app.ExitNo, r.wait())
	require.True(t, strings.HasSuffix(r.err.String(), "micro-etcd: nothing drained\n"), r.err.String())
	require.Equal(t, before.ModRevision, fleettest.At(t, c, fleettest.RecordKey("80")).ModRevision)

	fleettest.PutNotice(t, c, "80", catalog.Notice{By: "alice@ops"})
	must(t, app.ExitFailed, srv, "undrain", "greeter", "80")
	r = start(t, srv, strings.NewReader("n\n"), "undrain", "greeter", "80")
	require.Equal(t, app.ExitNo, r.wait())
	require.True(t, strings.HasSuffix(r.err.String(), "micro-etcd: nothing undrained\n"), r.err.String())
	fleettest.NoticeAt(t, c, "80")

	for _, args := range [][]string{
		{},
		{"greeter"},
		{"greeter", ""},
		{"", "80"},
		{"greeter", "80", "81"},
		{"greeter", "80", "--all"},
		{"greeter", "80", "--version", "1"},
		{"greeter", "--all", "--label", "a=b"},
		{"greeter", "--label", "=a"},
	} {
		must(t, app.ExitFailed, srv, append([]string{"drain", "--yes"}, args...)...)
		must(t, app.ExitFailed, srv, append([]string{"undrain", "--yes"}, args...)...)
	}
	must(t, app.ExitFailed, srv, "drain", "greeter", "81", "--for", "-1s", "--yes")
	must(t, app.ExitNo, srv, "drain", "greeter", "82", "--yes")
	must(t, app.ExitNo, srv, "undrain", "greeter", "82", "--yes")
	must(t, app.ExitNo, srv, "drain", "nosuch", "--all", "--yes")
}

func TestANodeThatChangedSinceItWasShownIsLeftAlone(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	register(t, open(t, srv), fleettest.Greeter("1", "80", "81", "82"))
	rewrite := func() string {
		fleettest.Put(t, c, fleettest.RecordKey("80"), fleettest.Get(t, c, fleettest.RecordKey("80")))
		return "y\n"
	}
	r := start(t, srv, answers(rewrite), "drain", "greeter", "80")
	require.Equal(t, app.ExitNo, r.wait())
	require.Contains(t, r.err.String(), fleettest.RecordKey("80")+" has changed since it was shown")
	require.Nil(t, fleettest.At(t, c, fleettest.NoticeKey("80")))

	elsewhere := func() string { fleettest.PutNotice(t, c, "81", catalog.Notice{By: "bob@ops"}); return "y\n" }
	r = start(t, srv, answers(elsewhere), "drain", "greeter", "81")
	require.Equal(t, app.ExitNo, r.wait())
	require.Equal(t, "bob@ops", fleettest.NoticeAt(t, c, "81").By)

	again := func() string {
		fleettest.Put(t, c, fleettest.RecordKey("81"), fleettest.Stored(t, fleettest.Greeter("2", "81")))
		return "y\n"
	}
	r = start(t, srv, answers(again), "undrain", "greeter", "81")
	require.Equal(t, app.ExitNo, r.wait())
	require.Contains(t, r.err.String(), "has changed since it was shown")
	require.Equal(t, fleettest.Stored(t, fleettest.Greeter("2", "81")), fleettest.Get(t, c, fleettest.RecordKey("81")))
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
			fleettest.Lasting(t, c, fleettest.Greeter("1", ids...))
			owners(t, c)
			_, said := must(t, app.ExitNo, srv, "drain", "greeter", "--all", "--yes")
			require.Contains(t, said, fmt.Sprintf("Warning: at most half of a service may be out of service, so this stops after %d of ", want))
			require.Contains(t, said, "; not done: "+strings.Join(ids[want:], ", ")+"\n")
			if nodes > 1 {
				require.Contains(t, said, fmt.Sprintf("stopped: %d of %d nodes of service greeter are out of service", want, nodes))
				require.Contains(t, said, "; done: "+strings.Join(ids[:want], ", ")+";")
			} else {
				require.Contains(t, said, "service greeter has no other node")
			}
			_, said = must(t, app.ExitOK, srv, "drain", "greeter", "--all", "--yes", "--force")
			require.Equal(t, want, strings.Count(said, "is drained already"))
			s := as[[]service](t, srv, "services")[0]
			require.Equal(t, []int{0, nodes}, []int{s.Nodes, s.Out})
			must(t, app.ExitOK, srv, "undrain", "greeter", "--all", "--yes")
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
	register(t, open(t, srv), fleettest.Greeter("1", ids...))
	began, err := c.Get(t.Context(), fleettest.Keyspace.Dir("greeter"), clientv3.WithPrefix())
	require.NoError(t, err)

	var all []*running
	for range drains {
		all = append(all, start(t, srv, nil, "drain", "greeter", "--all", "--yes"))
	}
	for _, r := range all {
		require.Equal(t, app.ExitNo, r.wait(), r.err.String())
	}
	end, err := c.Get(t.Context(), fleettest.Keyspace.Dir("greeter"), clientv3.WithPrefix())
	require.NoError(t, err)
	left := brake.Count(fleettest.Keyspace, "greeter", end.Kvs, end.Header.Revision)
	require.Equal(t, []int{nodes - nodes/2, nodes / 2}, []int{left.In, left.Out})

	// now as it went
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	keys := make(map[string]*mvccpb.KeyValue)
	for _, kv := range began.Kvs {
		keys[string(kv.Key)] = kv
	}
	history := c.Watch(ctx, fleettest.Keyspace.Dir("greeter"), clientv3.WithPrefix(), clientv3.WithRev(began.Header.Revision+1))
	exits := 0
	for revision := int64(0); revision < end.Kvs[0].ModRevision || exits < nodes/2; {
		response := <-history
		require.NoError(t, response.Err())
		for _, event := range response.Events {
			key := string(event.Kv.Key)
			if _, isNotice := fleettest.Keyspace.OfNotice(key); isNotice && event.IsCreate() {
				left := brake.Count(fleettest.Keyspace, "greeter", values(keys), event.Kv.ModRevision)
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
	one, two := fleettest.Greeter("1", "80", "81", "82"), fleettest.Greeter("2\t", "90", "91", "92")
	one.Nodes[1].Metadata["rack"], one.Nodes[2].Metadata["zone"] = "7", "b"
	fleettest.Lasting(t, c, one)
	fleettest.Lasting(t, c, two)
	owners(t, c)
	drained := func() []string {
		var ids []string
		for _, r := range as[[]app.Record](t, srv, "nodes", "greeter") {
			if r.State == app.StateOut {
				ids = append(ids, r.Node)
			}
		}
		return ids
	}
	must(t, app.ExitNo, srv, "drain", "greeter", "--label", "zone=c", "--yes")
	must(t, app.ExitOK, srv, "drain", "greeter", "--label", "zone=a", "--label", "rack=7", "--yes")
	require.Equal(t, []string{"81"}, drained())
	must(t, app.ExitOK, srv, "drain", "greeter", "--label", "zone=a", "--version", "1", "--yes")
	require.Equal(t, []string{"80", "81"}, drained())
	must(t, app.ExitOK, srv, "undrain", "greeter", "--version", "1", "--yes")
	require.Empty(t, drained())
	must(t, app.ExitOK, srv, "drain", "greeter", "--version", `2\t`, "--yes")
	require.Equal(t, []string{"90", "91", "92"}, drained())
	_, said := must(t, app.ExitOK, srv, "drain", "greeter", "--version", `2\t`, "--yes")
	require.Equal(t, 3, strings.Count(said, "is drained already, since "))
}

func TestBulkGoesOnAfterANodeThatChanged(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	register(t, open(t, srv), fleettest.Greeter("1", "80", "81", "82", "83"))
	change := func() string {
		fleettest.Put(t, c, fleettest.RecordKey("80"), fleettest.Stored(t, fleettest.Greeter("3", "80")))
		return "y\n"
	}
	r := start(t, srv, answers(change), "drain", "greeter", "--version", "1", "--force")
	require.Equal(t, app.ExitNo, r.wait())
	require.Contains(t, r.err.String(), fleettest.RecordKey("80")+" has changed since it was shown")
	require.NotNil(t, fleettest.At(t, c, fleettest.RecordKey("80")))
	for _, id := range []string{"81", "82", "83"} {
		fleettest.NoticeAt(t, c, id)
	}
}

func TestDrainSaysThatNobodyAcknowledges(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81"))
	_, said := must(t, app.ExitOK, srv, "drain", "greeter", "80", "--yes")
	require.Contains(t, said, "Not acknowledged: the owner uses another registry plugin, can't write to etcd or is gone.")
	require.True(t, fleettest.NoticeAt(t, c, "80").Acknowledged.IsZero())
}

func TestAnEndThatNobodyWillKeepUndoesTheDrain(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81"))
	before := fleettest.At(t, c, fleettest.RecordKey("80"))
	_, said := must(t, app.ExitNo, srv, "drain", "greeter", "80", "--for", "10m", "--yes")
	require.Contains(t, said, "--for can't be kept for node 80")
	require.Contains(t, said, "; the drain was undone")
	after := fleettest.At(t, c, fleettest.RecordKey("80"))
	require.Equal(t, string(before.Value), string(after.Value))
	require.Equal(t, before.Lease, after.Lease)
	require.Nil(t, fleettest.At(t, c, fleettest.NoticeKey("80")))

	// of one that is out already only the end is undone
	must(t, app.ExitOK, srv, "drain", "greeter", "80", "--reason", "first", "--yes")
	first := fleettest.NoticeAt(t, c, "80")
	_, said = must(t, app.ExitNo, srv, "drain", "greeter", "80", "--reason", "second", "--for", "10m", "--yes")
	require.Contains(t, said, "; the drain was undone")
	require.Equal(t, first, fleettest.NoticeAt(t, c, "80"))
}

func TestAnEndIsKeptByTheProcessThatAcknowledges(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	register(t, open(t, srv), fleettest.Greeter("1", "80", "81"))
	must(t, app.ExitOK, srv, "drain", "greeter", "80", "--for", "10m", "--reason", "first", "--yes")
	first := fleettest.NoticeAt(t, c, "80")
	require.WithinDuration(t, first.Since.Add(10*time.Minute), first.Until, time.Minute, "by the clock of its process")

	_, said := must(t, app.ExitOK, srv, "drain", "greeter", "80", "--yes")
	require.Contains(t, said, "Node 80 is drained already, since ")
	require.Equal(t, first, fleettest.NoticeAt(t, c, "80"))
	_, said = must(t, app.ExitOK, srv, "drain", "greeter", "80", "--reason", "second", "--yes")
	require.Contains(t, said, "Its notice is replaced.")
	second := fleettest.NoticeAt(t, c, "80")
	require.Equal(t, []any{first.Since, first.Until, "second"}, []any{second.Since, second.Until, second.Reason})
	require.False(t, second.Acknowledged.IsZero())
	must(t, app.ExitOK, srv, "drain", "greeter", "80", "--for", "1h", "--yes")
	third := fleettest.NoticeAt(t, c, "80")
	require.Equal(t, "second", third.Reason)
	require.Greater(t, third.Until, first.Until.Add(40*time.Minute))
	must(t, app.ExitOK, srv, "drain", "greeter", "80", "--for", "10ms", "--yes")
	isBack := func() bool { return fleettest.At(t, c, fleettest.RecordKey("80")) != nil }
	require.Eventually(t, isBack, patience, 10*time.Millisecond)
	require.Nil(t, fleettest.At(t, c, fleettest.NoticeKey("80")))
}

func TestADrainReplacesTheNoticeOfTheNodesOwnChecks(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81"))
	owners(t, c)
	before := fleettest.At(t, c, fleettest.RecordKey("80"))
	fleettest.PutNotice(t, c, "80", catalog.Notice{Reason: "tcp: refused", Since: time.Now().Add(-time.Hour)})

	_, said := must(t, app.ExitOK, srv, "undrain", "greeter", "--all", "--yes")
	require.Contains(t, said, "Node 80 stays out of service: its own health checks took it out.")
	_, said = must(t, app.ExitOK, srv, "drain", "greeter", "80", "--yes")
	require.Contains(t, said, "by its own health checks: tcp: refused; lease ")
	n := fleettest.NoticeAt(t, c, "80")
	require.NotEmpty(t, n.By)
	require.Empty(t, n.Reason)
	require.WithinDuration(t, time.Now(), n.Since, time.Minute)
	require.Equal(t, string(before.Value), string(n.Record))

	must(t, app.ExitOK, srv, "undrain", "greeter", "80", "--yes")
	fleettest.PutNotice(t, c, "80", catalog.Notice{Reason: "tcp: refused"})
	must(t, app.ExitOK, srv, "undrain", "greeter", "80", "--yes")
	require.Equal(t, before.Lease, fleettest.At(t, c, fleettest.RecordKey("80")).Lease)
}

func TestARecordWithoutALeaseIsDrainedWithoutAnEnd(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Put(t, c, fleettest.RecordKey("80"), fleettest.Stored(t, fleettest.Greeter("1", "80")))
	fleettest.Lasting(t, c, fleettest.Greeter("1", "81"))
	_, said := must(t, app.ExitNo, srv, "drain", "greeter", "--version", "1", "--for", "10m", "--yes", "--force")
	require.Contains(t, said, "nothing drained: --for can't be kept for 80")
	require.Len(t, as[[]app.Record](t, srv, "nodes", "greeter"), 2)
	require.Nil(t, fleettest.At(t, c, fleettest.NoticeKey("81")))

	_, said = must(t, app.ExitOK, srv, "drain", "greeter", "80", "--yes")
	require.Contains(t, said, "no lease, so it stays out until somebody runs micro-etcd undrain")
	require.Zero(t, fleettest.At(t, c, fleettest.NoticeKey("80")).Lease)
	fleettest.NoticeAt(t, c, "80")
	must(t, app.ExitOK, srv, "undrain", "greeter", "80", "--yes")
	require.Zero(t, fleettest.At(t, c, fleettest.RecordKey("80")).Lease)
}

func TestWhatIsNoNoticeIsNotOverwritten(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81", "82", "83"))
	for _, junk := range []string{
		"junk", `out-of-service {"format":2,"since":"2026-11-29T04:00:00Z"}`, `out-of-service {"format":1}`,
	} {
		fleettest.Put(t, c, fleettest.NoticeKey("80"), junk)
		_, said := must(t, app.ExitNo, srv, "drain", "greeter", "80", "--yes")
		require.Contains(t, said, fleettest.NoticeKey("80")+" holds no notice that this version can read")
		must(t, app.ExitNo, srv, "undrain", "greeter", "80", "--yes")
		require.NotNil(t, fleettest.At(t, c, fleettest.RecordKey("80")))
		require.Equal(t, junk, fleettest.Get(t, c, fleettest.NoticeKey("80")))
		out, _ := must(t, app.ExitNo, srv, "doctor")
		require.Contains(t, out, "(malformed)")
	}
	_, err := c.Delete(t.Context(), fleettest.RecordKey("80"))
	require.NoError(t, err)
	for _, command := range []string{"drain", "undrain"} {
		_, said := must(t, app.ExitNo, srv, command, "greeter", "80", "--yes")
		require.Contains(t, said, "holds no notice that this version can read")
	}
	must(t, app.ExitOK, srv, "deregister", "--record-key", fleettest.NoticeKey("80"), "--yes")
	must(t, app.ExitOK, srv, "drain", "greeter", "81", "--yes")
}

func TestOfARecordAndANoticeTheRecordCounts(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81")) // their process would tidy up
	before := fleettest.At(t, c, fleettest.RecordKey("80"))
	beside := func() {
		fleettest.PutNotice(t, c, "80", catalog.Notice{By: "alice@ops"})
		fleettest.Put(t, c, fleettest.RecordKey("80"), string(before.Value), clientv3.WithLease(clientv3.LeaseID(before.Lease)))
	}
	beside()
	require.Equal(t, []service{{"", "greeter", 2, 0, []serviceVersion{{"1", 2, 0}}}}, as[[]service](t, srv, "services"))
	written := fleettest.At(t, c, fleettest.RecordKey("80")).ModRevision
	_, said := must(t, app.ExitOK, srv, "undrain", "greeter", "80", "--yes")
	require.Contains(t, said, "it is in service; the notice is removed")
	require.Nil(t, fleettest.At(t, c, fleettest.NoticeKey("80")))
	require.Equal(t, written, fleettest.At(t, c, fleettest.RecordKey("80")).ModRevision)
	beside()
	must(t, app.ExitOK, srv, "drain", "greeter", "80", "--yes")
	require.NotEqual(t, "alice@ops", fleettest.NoticeAt(t, c, "80").By)
}

func TestDrainSaysWhatBecameOfANodeMeanwhile(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	for want, happens := range map[string]func(id string){
		"is back in service": func(id string) {
			must(t, app.ExitOK, srv, "undrain", "greeter", id, "--yes")
		},
		"is gone": func(id string) {
			_, err := c.Revoke(t.Context(), clientv3.LeaseID(fleettest.At(t, c, fleettest.NoticeKey(id)).Lease))
			require.NoError(t, err)
		},
		"was changed meanwhile": func(id string) {
			kv := fleettest.At(t, c, fleettest.NoticeKey(id))
			fleettest.Put(t, c, fleettest.NoticeKey(id), string(kv.Value), clientv3.WithLease(clientv3.LeaseID(kv.Lease)))
		},
	} {
		fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81"))
		r := start(t, srv, nil, "drain", "greeter", "80", "--for", "1h", "--yes")
		r.says("Node 80 of service greeter is out of service")
		happens("80")
		code := app.ExitNo
		if want == "is gone" {
			code = app.ExitOK
		}
		require.Equal(t, code, r.wait(), r.err.String())
		require.Contains(t, r.err.String(), want)
		_, err := c.Delete(t.Context(), fleettest.Keyspace.Dir("greeter"), clientv3.WithPrefix())
		require.NoError(t, err)
	}
}

func TestADrainThatIsInterruptedSaysWhatStands(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	for _, end := range []string{"", "10m"} {
		fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81"))
		args := []string{"drain", "greeter", "--all", "--yes", "--force"}
		if end != "" {
			args = append(args, "--for", end)
		}
		r := start(t, srv, nil, args...)
		r.says("Node 80 of service greeter is out of service")
		require.Equal(t, app.ExitFailed, r.stop())
		require.Contains(t, r.err.String(), "interrupted before it was clear whether the process of node 80 acknowledges the drain")
		require.Contains(t, r.err.String(), "stays out of service")
		require.True(t, strings.HasSuffix(r.err.String(), "; not done: 81\n"), r.err.String())
		fleettest.NoticeAt(t, c, "80")
		require.NotNil(t, fleettest.At(t, c, fleettest.RecordKey("81")))
		must(t, app.ExitOK, srv, "undrain", "greeter", "80", "--yes")
	}
}

func TestDrainNeedsToReadAndWriteTheDirectory(t *testing.T) {
	srv := etcdtest.Start(t, cheapPasswords)
	c := srv.Client(t)
	fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81", "82"))
	fleettest.PutNotice(t, c, "82", catalog.Notice{By: "alice@ops"})
	withRoles(t, srv)
	file := passwordFile(t)
	as := func(user string) []string { return []string{"--user", user, "--password-file", file, "--yes"} }
	const hint = "etcdctl role grant-permission ROLE --prefix=true readwrite /micro/registry/greeter/"
	for _, user := range []string{"consumer", "writer", "nobody"} {
		_, said := must(t, app.ExitFailed, srv, append([]string{"drain", "greeter", "80", "--force"}, as(user)...)...)
		require.Contains(t, said, hint)
		_, said = must(t, app.ExitFailed, srv, append([]string{"undrain", "greeter", "82"}, as(user)...)...)
		require.Contains(t, said, hint)
	}
	must(t, app.ExitNo, srv, append([]string{"drain", "greeter", "80"}, as("provider")...)...) // the brake
	must(t, app.ExitOK, srv, append([]string{"undrain", "greeter", "82"}, as("provider")...)...)
	must(t, app.ExitOK, srv, append([]string{"drain", "greeter", "80"}, as("provider")...)...)
}

func TestDeregisterRemovesANodeThatIsOutOfService(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81"))
	fleettest.PutNotice(t, c, "80", catalog.Notice{By: "alice@ops"})
	_, said := must(t, app.ExitOK, srv, "deregister", "greeter", "80", "--yes")
	require.Contains(t, said, "out of service since ")
	require.Nil(t, fleettest.At(t, c, fleettest.NoticeKey("80")))
	require.Nil(t, fleettest.At(t, c, fleettest.RecordKey("80")))
	_, said = must(
		t, app.ExitFailed, srv, "register", "--service", "greeter", "--address", "10.0.0.1:80", "--yes", "--ttl", "0",
		"--node", ".out-of-service/80",
	)
	require.Contains(t, said, ".out-of-service/80")
}

func TestCompletionKnowsWhichNodesAreOutOfService(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81"))
	other := fleettest.Greeter("1", "90")
	other.Name = "other"
	fleettest.Lasting(t, c, other)
	fleettest.PutNotice(t, c, "80", catalog.Notice{By: "alice@ops"})
	complete := func(args ...string) []string {
		out, _ := must(t, app.ExitOK, nil, append([]string{"__complete", args[0], "-a", srv.Endpoint()}, args[1:]...)...)
		return strings.Fields(out)
	}
	require.Equal(t, []string{"greeter", "other", ":4"}, complete("drain", ""))
	require.Equal(t, []string{"81", ":4"}, complete("drain", "greeter", ""))
	require.Equal(t, []string{"greeter", ":4"}, complete("undrain", ""))
	require.Equal(t, []string{"80", ":4"}, complete("undrain", "greeter", ""))
	require.Equal(t, []string{":4"}, complete("undrain", "greeter", "80", ""))
}

func TestALeaseThatEndsBeforeTheAnswerIsAChange(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	for _, command := range []string{"drain", "undrain"} {
		fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81"))
		if command == "undrain" {
			fleettest.PutNotice(t, c, "80", catalog.Notice{By: "alice@ops"})
		}
		revoke := func() string {
			kv := fleettest.At(t, c, fleettest.RecordKey("80"))
			if kv == nil {
				kv = fleettest.At(t, c, fleettest.NoticeKey("80"))
			}
			_, err := c.Revoke(t.Context(), clientv3.LeaseID(kv.Lease))
			require.NoError(t, err)
			return "y\n"
		}
		r := start(t, srv, answers(revoke), command, "greeter", "80")
		require.Equal(t, app.ExitNo, r.wait(), r.err.String())
		require.Regexp(t, `has changed since it was shown|the lease of .* has ended`, r.err.String())
		require.Nil(t, fleettest.At(t, c, fleettest.RecordKey("80")))
		require.Nil(t, fleettest.At(t, c, fleettest.NoticeKey("80")))
	}
}
