package page

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func TestASnapshotAndItsDeltasAddUpToTheView(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	draw := rand.New(rand.NewPCG(seed, 0))
	h := newHub(newView(prefix))
	b, err := h.join()
	require.NoError(t, err)
	<-b.frames
	var m mirror
	first, err := h.snapshot(b)
	require.NoError(t, err)
	m.apply(t, first)

	known := make(map[string]*fleet.Record)
	for step := range 500 {
		id := fmt.Sprint("node-", draw.IntN(12))
		service := fmt.Sprint("s", draw.IntN(4))
		if draw.IntN(4) == 0 { // names that share a directory
			service = []string{"a/b", "a-b"}[draw.IntN(2)]
		}
		r := record(service, fmt.Sprint("1.", draw.IntN(9)), id, nil)
		switch old := known[r.Key]; {
		case old == nil:
			h.view.apply(appeared(r))
			known[r.Key] = r
		case draw.IntN(2) == 0:
			h.view.apply(gone(old))
			delete(known, r.Key)
		default:
			if draw.IntN(4) == 0 {
				r.Service, r.Err, r.Lease = nil, etcd.ErrMalformed, 0
			}
			h.view.apply(fleet.Event{Kind: fleet.Changed, Record: r, Before: old})
			known[r.Key] = r
		}
		if draw.IntN(5) > 0 {
			continue
		}
		require.NoError(t, h.publish(nil))
		for len(b.frames) > 0 {
			m.apply(t, <-b.frames)
		}
		require.Equal(t, truth(t, h), m.services, "after step %d", step)
		nodes := 0
		for _, r := range known {
			if r.Service != nil {
				nodes++
			}
		}
		require.Equal(t, nodes, h.view.nodes)
		require.EqualValues(t, nodes, h.view.total[len(h.view.total)-1][1])
	}
	require.Equal(t, 1, m.snapshots)
}

func TestWhatWasThereBeforeIsNoEvent(t *testing.T) {
	v := newView(prefix)
	old := record("greeter", "1.0", "a", nil)
	old.Before = true
	v.apply(appeared(old))
	fresh := record("greeter", "1.0", "b", nil)
	v.apply(appeared(fresh))

	snap := v.snapshot()
	require.Len(t, snap.Events, 1)
	require.Equal(t, "appeared", snap.Events[0].Kind)
	require.Equal(t, "b", snap.Events[0].Node)
	require.Equal(t, 2, snap.Services[0].Nodes)
}

func TestAChangeOfVersionNamesBoth(t *testing.T) {
	v := newView(prefix)
	was, is := record("greeter", "1.9", "a", nil), record("greeter", "1.10", "a", nil)
	v.apply(appeared(was))
	v.apply(fleet.Event{Kind: fleet.Changed, Record: is, Before: was})

	last := v.snapshot().Events[1]
	require.Equal(t, "changed", last.Kind)
	require.Equal(t, "1.9", last.Former)
	require.Equal(t, "1.10", last.Version)
}

func TestARecordThatCantBeReadIsShownWhereItIs(t *testing.T) {
	v := newView(prefix)
	v.apply(appeared(&fleet.Record{Key: prefix + "greeter/junk", Err: etcd.ErrMalformed}))

	snap := v.snapshot()
	require.Len(t, snap.Services, 1)
	require.Equal(
		t,
		summary{
			Name: "greeter", Broken: 1, Immortal: 1, Versions: []version{}, Changed: snap.Services[0].Changed,
			History: snap.Services[0].History,
		}, snap.Services[0],
	)
	d, _ := v.detail("greeter", "", 0)
	require.Equal(t, etcd.ErrMalformed.Error(), d.Nodes[0].Error)
	require.Empty(t, d.Versions)
	require.Equal(t, []int{1, 1}, []int{d.Total, d.Others})
}

func TestOfTwoKeysOfANodeTheOneWrittenLastCounts(t *testing.T) {
	v := newView(prefix)
	key := func(key string, revision int64, version string) *fleet.Record {
		r := record("greeter", version, "a", nil)
		r.Key, r.Modified = prefix+"greeter/"+key, revision
		return r
	}
	fresh, old := key("fresh", 2, "2.0"), key("old", 1, "1.0")
	v.apply(appeared(fresh))
	v.apply(appeared(old))

	sum := v.snapshot().Services[0]
	require.Equal(t, 1, sum.Nodes)
	require.Equal(t, []version{{Version: "2.0", Nodes: 1}}, sum.Versions)
	require.Equal(t, 1, v.nodes)
	d, _ := v.detail("greeter", "", 0)
	require.Equal(t, []int{2, 1}, []int{d.Total, d.Others})
	require.Equal(t, []bool{false, true}, []bool{d.Nodes[0].Outdated, d.Nodes[1].Outdated})
	require.Len(t, d.Versions, 1)
	require.Equal(t, "2.0", d.Versions[0].Version)

	v.apply(gone(fresh))
	require.Equal(t, []version{{Version: "1.0", Nodes: 1}}, v.snapshot().Services[0].Versions)
	v.apply(gone(old))
	require.Zero(t, v.nodes)
	require.Empty(t, v.snapshot().Services)
}

func TestTheViewKnowsWhetherItIsConnected(t *testing.T) {
	v := newView(prefix)
	require.False(t, v.connection().connected)
	v.apply(fleet.Event{Kind: fleet.Connected})
	require.True(t, v.connection().connected)
	v.apply(fleet.Event{Kind: fleet.Disconnected, Err: errors.New("cut")})
	require.False(t, v.connection().connected)
	require.Equal(t, "cut", v.connection().err)
}

func TestAServiceThatReturnsKeepsItsHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newView(prefix)
		r := record("greeter", "1.0", "a", nil)
		v.apply(appeared(r))
		time.Sleep(time.Minute)
		v.apply(gone(r))
		v.take()
		require.Empty(t, v.snapshot().Services)
		time.Sleep(time.Minute)
		v.apply(appeared(r))
		require.GreaterOrEqual(t, len(v.snapshot().Services[0].History), 4)
	})
}

func TestServicesThatDepartedAreForgottenInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newView(prefix)
		for i := range maxDeparted + 50 {
			r := record(fmt.Sprint("s", i), "", "a", nil)
			v.apply(appeared(r))
			v.apply(gone(r))
		}
		v.take()
		require.Len(t, v.services, maxDeparted)
		time.Sleep(historySpan + time.Second)
		v.take()
		require.Empty(t, v.services)
	})
}

func TestNodesOutOfServiceAreCountedApartAndSaidWhy(t *testing.T) {
	v := newView(prefix)
	at := time.Date(2026, 11, 29, 4, 0, 0, 0, time.UTC)
	in, other := record("greeter", "2.0", "a", nil), record("greeter", "1.0", "b", nil)
	v.apply(appeared(in))
	v.apply(appeared(other))
	out := record("greeter", "1.0", "b", nil)
	out.Key = prefix + "greeter/.out-of-service/b"
	out.Notice = &catalog.Notice{Reason: "heap dump", By: "alice@ops", Since: at, Until: at.Add(time.Hour)}

	v.apply(fleet.Event{Kind: fleet.Appeared, Record: out, Swap: true})
	v.apply(fleet.Event{Kind: fleet.Gone, Before: other, Swap: true})
	acknowledged := *out
	notice := *out.Notice
	notice.Acknowledged = at
	acknowledged.Notice = &notice
	v.apply(fleet.Event{Kind: fleet.Changed, Record: &acknowledged, Before: out})

	snap := v.snapshot()
	sum := snap.Services[0]
	require.Equal(t, []int{1, 1, 0}, []int{sum.Nodes, sum.Out, sum.Broken})
	require.Equal(t, []version{{Version: "2.0", Nodes: 1}}, sum.Versions)
	require.Equal(t, 1, v.nodes)
	require.Len(t, snap.Events, 3, "an acknowledgment is none")
	last := snap.Events[2]
	require.Equal(t, []string{"out", "b", "heap dump", "alice@ops"}, []string{last.Kind, last.Node, last.Reason, last.By})
	d, _ := v.detail("greeter", "", 0)
	require.Equal(t, []int{2, 1, 0}, []int{d.Total, d.Out, d.Others})
	require.Equal(t, "b", d.Nodes[0].ID)
	require.Equal(t, &outOf{
		Reason: "heap dump", By: "alice@ops", Since: at.UnixMilli(), Until: at.Add(time.Hour).UnixMilli(), Acknowledged: true,
	}, d.Nodes[0].Out)
	require.Nil(t, d.Nodes[1].Out)
	d, _ = v.detail("greeter", "heap", 0)
	require.Equal(t, 1, d.Matching)

	v.apply(fleet.Event{Kind: fleet.Gone, Before: &acknowledged, Swap: true})
	v.apply(fleet.Event{Kind: fleet.Appeared, Record: other, Swap: true})
	snap = v.snapshot()
	require.Equal(t, []int{2, 0}, []int{snap.Services[0].Nodes, snap.Services[0].Out})
	require.Len(t, snap.Events, 4)
	require.Equal(t, "back", snap.Events[3].Kind)

	// the last node may go out with --force
	v.apply(gone(in))
	v.apply(fleet.Event{Kind: fleet.Appeared, Record: out, Swap: true})
	v.apply(fleet.Event{Kind: fleet.Gone, Before: other, Swap: true})
	require.Equal(t, []int{0, 1}, []int{v.snapshot().Services[0].Nodes, v.snapshot().Services[0].Out})
}
