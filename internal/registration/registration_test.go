package registration

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/lease"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
)

const testKey = "/micro/registry/greeter/n1"

// table is a registration without a goroutine, and what it tells its registrar.
type table struct {
	*registration
	registrar *Registrar
	t         *testing.T
	round     context.Context // under way
	taken     *desired        // by it
	rollbacks int
}

func newTable(t *testing.T) *table {
	t.Helper()
	tb := &table{t: t}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	never := func(func()) bool { return false }
	r := New(Config{
		Connector:  etcdconn.NewConnector(ctx, never, metrics.New(), func() {}, func() {}),
		Keys:       catalog.Keyspace{Prefix: "/micro/registry/"},
		Timeout:    func() time.Duration { return time.Minute },
		Put:        func(*catalog.Record) {},
		Deleted:    func(string, int64) {},
		RolledBack: func() { tb.rollbacks++ },
		Changed:    func() {},
	})
	tb.registrar, tb.registration = r, r.beginLocked(testKey)
	return tb
}

// desire wants version to be registered.
func (tb *table) desire(version string) {
	record := &catalog.Record{
		Key: testKey, Name: "greeter", Version: version, Profile: &catalog.Profile{},
		Node: &catalog.Node{Id: "n1", Address: "a"},
	}
	tb.set(&desired{name: "greeter", record: record, seconds: 10})
}

// begun begins a round.
func (tb *table) begun() { tb.round, tb.taken = tb.begin(tb.t.Context()) }

// ended ends the round.
func (tb *table) ended(err error) (over bool) {
	over, _ = tb.settle(tb.round, tb.taken, err)
	return over
}

// written is a round in which etcd takes what is desired.
func (tb *table) written(revision int64) {
	tb.begun()
	l, now := &lease.Lease{ID: 1}, time.Now()
	l.Renewed.Store(&now)
	tb.setLease(l)
	tb.acknowledged(ownerSelf, revision, nil)
	tb.fulfilled(tb.taken)
	tb.ended(nil)
}

func (tb *table) put(revision int64, value string, id int64) bool {
	return tb.observe([]*clientv3.Event{{Type: clientv3.EventTypePut, Kv: &mvccpb.KeyValue{
		Key: []byte(testKey), Value: []byte(value), ModRevision: revision, Lease: id,
	}}})
}

func (tb *table) deleted(revision int64) bool {
	return tb.observe([]*clientv3.Event{
		{Type: clientv3.EventTypeDelete, Kv: &mvccpb.KeyValue{Key: []byte(testKey), ModRevision: revision}},
	})
}

const others = `{"name":"greeter","version":"9","nodes":[{"id":"n1","address":"b"}]}`

func TestTransitions(t *testing.T) {
	for name, c := range map[string]struct {
		do      func(*table)
		state   string
		err     error
		version string
	}{
		"desired":  {func(tb *table) { tb.desire("1") }, StatePending, nil, "1"},
		"written":  {func(tb *table) { tb.desire("1"); tb.written(7) }, StateRegistered, nil, "1"},
		"replaced": {func(tb *table) { tb.desire("1"); tb.written(7); tb.desire("2") }, StatePending, nil, "2"},
		"repeated": {func(tb *table) { tb.desire("1"); tb.written(7); tb.desire("1") }, StateRegistered, nil, "1"},
		"refused": {func(tb *table) {
			tb.desire("1")
			tb.begun()
			tb.ended(rpctypes.ErrPermissionDenied)
		}, StatePending, rpctypes.ErrPermissionDenied, "1"},
		"leaving":   {func(tb *table) { tb.desire("1"); tb.written(7); tb.deregister() }, StateLeaving, nil, "1"},
		"not there": {func(tb *table) { tb.deregister() }, StateLeaving, nil, ""},
		"deleted": {func(tb *table) {
			tb.desire("1")
			tb.written(7)
			require.False(t, tb.deleted(8), "there is something to repair")
		}, StatePending, nil, "1"},
		"an old event": {func(tb *table) {
			tb.desire("1")
			tb.written(7)
			require.True(t, tb.deleted(6))
		}, StateRegistered, nil, "1"},
		"our own event": {func(tb *table) {
			tb.desire("1")
			tb.written(7)
			require.True(t, tb.put(8, string(tb.desired.value), 1))
		}, StateRegistered, nil, "1"},
		"ours without its lease": {func(tb *table) {
			tb.desire("1")
			tb.written(7)
			require.False(t, tb.put(8, string(tb.desired.value), 0))
		}, StatePending, nil, "1"},
		"junk": {func(tb *table) {
			tb.desire("1")
			tb.written(7)
			require.False(t, tb.put(8, "junk", 0))
		}, StatePending, nil, "1"},
		"another owner": {func(tb *table) {
			tb.desire("1")
			tb.written(7)
			require.True(t, tb.put(8, others, 2))
		}, StateSuperseded, nil, "1"},
		"the other owner leaves": {func(tb *table) {
			tb.desire("1")
			tb.written(7)
			tb.put(8, others, 2)
			require.False(t, tb.deleted(9))
		}, StatePending, nil, "1"},
		"etcd is away, and nothing is wrong": {func(tb *table) {
			tb.desire("1")
			tb.written(7)
			tb.begun()
			tb.ended(context.DeadlineExceeded)
		}, StateRegistered, nil, "1"},
		"etcd is away, and the key is gone": {func(tb *table) {
			tb.desire("1")
			tb.written(7)
			tb.deleted(8)
			tb.begun()
			tb.ended(context.DeadlineExceeded)
		}, StatePending, context.DeadlineExceeded, "1"},
		"never taken": {func(tb *table) {
			tb.desire("1")
			tb.begun()
			tb.ended(ErrTooLarge)
		}, StateLeaving, nil, ""},
		"never taken, after another one": {func(tb *table) {
			tb.desire("1")
			tb.written(7)
			tb.desire("2")
			tb.begun()
			tb.ended(ErrTooLarge)
		}, StateRegistered, nil, "1"},
		"replaced during a round that fails": {func(tb *table) {
			tb.desire("1")
			tb.begun()
			tb.desire("2")
			tb.ended(rpctypes.ErrPermissionDenied)
		}, StatePending, nil, "2"},
		"the client is replaced during a round that fails": {func(tb *table) {
			tb.desire("1")
			tb.begun()
			tb.reset()
			tb.ended(rpctypes.ErrAuthFailed)
		}, StatePending, nil, "1"},
		"a rollback is suspected": {func(tb *table) {
			tb.desire("1")
			tb.written(7)
			tb.suspectRollback(metrics.RestoreHistoryChanged)
		}, StatePending, nil, "1"},
		"the key can't be watched": {func(tb *table) {
			tb.desire("1")
			tb.written(7)
			tb.setWatchError(rpctypes.ErrPermissionDenied)
		}, StatePending, rpctypes.ErrPermissionDenied, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			tb := newTable(t)
			c.do(tb)
			s := tb.status()
			require.Equal(t, c.state, s.State)
			require.Equal(t, c.err, s.Err)
			require.Equal(t, c.version, s.Version)
			require.Zero(t, tb.rollbacks)
		})
	}
}

func TestARoundThatRemovesEverythingIsTheLast(t *testing.T) {
	tb := newTable(t)
	tb.desire("1")
	tb.written(7)
	tb.begun()
	tb.deregister()
	require.False(t, tb.ended(nil), "it is about what was desired before")
	tb.begun()
	require.True(t, tb.ended(nil))
	require.Empty(t, tb.registrar.registrations)
}

func TestARevisionThatRegressesIsARollback(t *testing.T) {
	for name, write := range map[string]func(*table){
		"a smaller one":  func(tb *table) { tb.written(6) },
		"the same again": func(tb *table) { tb.written(7) },
		"of another's":   func(tb *table) { tb.found(ownerOther, 6) },
	} {
		tb := newTable(t)
		tb.desire("1")
		tb.written(7)
		require.Zero(t, tb.rollbacks)
		write(tb)
		require.Equal(t, 1, tb.rollbacks, name)
	}
}

func TestARecordThatIsRemovedBeforeEtcdTookItWasNotTaken(t *testing.T) {
	tb := newTable(t)
	tb.desire("1")
	p := pending{key: testKey, registration: tb.registration, desired: tb.desired}
	removal := tb.deregister()
	tb.begun()
	tb.fulfilled(tb.taken)
	require.ErrorIs(t, p.await(t.Context()), ErrWithdrawn)
	require.NoError(t, removal.await(t.Context()))
}
