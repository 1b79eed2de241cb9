package change

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// drainOf is a drain of a service's nodes that was asked for nothing else.
func drainOf(c *clientv3.Client, service string) *drain {
	return &drain{App: quiet(), source: fleet.Source{Client: c, Service: service}, operator: "alice@ops"}
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
		s := fleettest.Greeter("1", ids...)
		s.Name = fmt.Sprint("raced", nodes)
		fleettest.Lasting(t, c, s)
		mine, other := fleettest.Keyspace.Node(s.Name, "80"), fleettest.Keyspace.Node(s.Name, "81")
		racing := srv.Client(t)
		racing.KV = raced{racing.KV, new(sync.Once), func() {
			value, err := catalog.EncodeNotice(catalog.Notice{Record: []byte(fleettest.Get(t, c, other))})
			require.NoError(t, err)
			_, err = c.Txn(t.Context()).Then(
				clientv3.OpPut(fleettest.Keyspace.Notice(other), string(value)), clientv3.OpDelete(other),
			).Commit()
			require.NoError(t, err)
		}}
		d := drainOf(racing, s.Name)
		all, err := choose(t.Context(), &d.source, &selection{service: s.Name, node: "80"})
		require.NoError(t, err)
		_, err = d.leave(t.Context(), all[0], "x")
		if want {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, "stopped: 1 of 3 nodes of service raced3 are out of service")
		}
		require.Equal(t, want, fleettest.At(t, c, mine) == nil)
	}
}

func TestAnAcknowledgmentThatComesWhileTheDrainIsUndoneCounts(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81"))
	d := drainOf(c, "greeter")
	var said strings.Builder
	d.Err, d.period = &said, time.Hour
	all, err := choose(t.Context(), &d.source, &selection{service: "greeter", node: "80"})
	require.NoError(t, err)
	n, err := d.noticeOf(t.Context(), all[0])
	require.NoError(t, err)
	value, err := catalog.EncodeNotice(*n)
	require.NoError(t, err)
	_, err = d.leave(t.Context(), all[0], string(value))
	require.NoError(t, err)
	late, err := all[0].look(t.Context(), d.source)
	require.NoError(t, err)
	fleettest.Acknowledge(t.Context(), c, &clientv3.Event{Kv: fleettest.At(t, c, fleettest.NoticeKey("80"))})
	require.NoError(t, d.undo(t.Context(), all[0], late.notice))
	require.Equal(t, "Acknowledged by its process.\n", said.String())
	require.False(t, fleettest.NoticeAt(t, c, "80").Acknowledged.IsZero())
}

func TestWhatEtcdDidNotAnswerIsUnclear(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81", "82"))
	d := drainOf(c, "greeter")
	d.Flags.Timeout, d.force = time.Second, true
	all, err := choose(t.Context(), &d.source, &selection{service: "greeter"})
	require.NoError(t, err)
	c.KV = raced{c.KV, new(sync.Once), srv.Stop}
	err = oneByOne(t.Context(), d.source, all, d.one)
	require.ErrorContains(t, err, "unclear whether "+fleettest.RecordKey("80")+" was changed: ")
	require.ErrorContains(t, err, "; not done: 81, 82")
	require.Equal(t, app.ExitFailed, app.ExitOf(err).Code)
}
