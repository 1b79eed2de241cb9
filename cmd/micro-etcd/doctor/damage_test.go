package doctor

import (
	"encoding/binary"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// dirs learns where members keep their data, by their client URL's host and port.
type dirs struct{ sync.Map }

func (d *dirs) note(c *embed.Config) { d.Store(c.AdvertiseClientUrls[0].Host, c.Dir) }

// damage changes the database of a server while that is stopped.
func (d *dirs) damage(tb testing.TB, srv *etcdtest.Server, change func(*bbolt.Tx) error) {
	tb.Helper()
	dir, ok := d.Load(srv.Endpoint())
	require.True(tb, ok)
	db, err := bbolt.Open(filepath.Join(dir.(string), "member", "snap", "db"), 0o600, nil)
	require.NoError(tb, err)
	require.NoError(tb, db.Update(change))
	require.NoError(tb, db.Close())
}

// revisionKey is how etcd names a revision in its database (server/v3 storage/mvcc/revision.go).
func revisionKey(revision int64) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(revision))
	return binary.BigEndian.AppendUint64(append(b, '_'), 0)
}

func record(tb testing.TB, key string, revision int64) []byte {
	tb.Helper()
	value, err := (&mvccpb.KeyValue{
		Key: []byte(key), Value: []byte("x"), CreateRevision: revision, ModRevision: revision, Version: 1,
	}).Marshal()
	require.NoError(tb, err)
	return value
}

func TestRecordsOnLeasesThatAreGoneAreTold(t *testing.T) {
	var d dirs
	srv := etcdtest.Start(t, d.note)
	c := srv.Client(t)
	put(t, c, "greeter/1", node("greeter", "1", "h:1"), lease(t, c, 60))
	put(t, c, "greeter/2", node("greeter", "2", "h:2"), lease(t, c, 60))
	require.Empty(t, examine(t, Target{Addresses: srv.Endpoints()}).found("lost-lease"))
	got, err := c.Get(t.Context(), prefix+"greeter/1")
	require.NoError(t, err)

	srv.Stop()
	d.damage(t, srv, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("lease")).Delete(binary.BigEndian.AppendUint64(nil, uint64(got.Kvs[0].Lease)))
	})
	require.NoError(t, srv.Restart())
	report := examine(t, Target{Addresses: srv.Endpoints()})
	f := report.only(t, "lost-lease", Warning, "1 record hangs", prefix+"greeter/1")
	require.Equal(t, []string{prefix + "greeter/1"}, f.Subjects)
	require.Empty(t, report.found("no-lease"))
}

func TestMembersWithDifferentDataAreTold(t *testing.T) {
	var d dirs
	cluster := etcdtest.StartCluster(t, 3, d.note, func(c *embed.Config) { c.BcryptCost = 4 })
	c := cluster.Client(t)
	put(t, c, "greeter/1", node("greeter", "1", "h:1"), lease(t, c, 60))
	require.Empty(t, examine(t, Target{Addresses: cluster.Endpoints()}).Findings)

	odd := cluster.Members[2]
	odd.Stop()
	at := revision(t, c)
	d.damage(t, odd, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("key")).Put(revisionKey(at), record(t, "other", at))
	})
	require.NoError(t, odd.Restart())
	report := examine(t, Target{Addresses: cluster.Endpoints()})
	report.only(t, "data", Critical, odd.Endpoint(), "isn't the same")

	odd.Stop()
	d.damage(t, odd, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("key")).Put(revisionKey(at+1), record(t, "more", at+1))
	})
	require.NoError(t, odd.Restart())
	withRoles(t, c)
	report = examine(t, Target{Addresses: cluster.Endpoints(), Service: "greeter"}, etcd.Auth("provider", "pw"))
	report.only(t, "data", Critical, odd.Endpoint(), "entries of the log applied")
}

func TestWhatOnlyRootMayCompareIsTold(t *testing.T) {
	cluster := etcdtest.StartCluster(t, 3, func(c *embed.Config) { c.BcryptCost = 4 })
	withRoles(t, cluster.Client(t))
	as := func(user string) *Report {
		return examine(t, Target{Addresses: cluster.Endpoints(), Service: "greeter"}, etcd.Auth(user, "pw"))
	}
	as("provider").only(t, "data", Info, "weren't compared", "permission denied")
	require.Empty(t, as("root").found("data"))
}

func TestTwoEtcdsThatShareAMemberIDAreTold(t *testing.T) {
	byHand := func(c *embed.Config) {
		peer := url.URL{Scheme: "http", Host: "localhost:2380"}
		c.Name, c.InitialCluster, c.AdvertisePeerUrls = "default", "default="+peer.String(), []url.URL{peer}
	}
	one, two := etcdtest.Start(t, byHand), etcdtest.Start(t, byHand)
	both := Target{Addresses: []string{one.Endpoint(), two.Endpoint()}}
	told := func() {
		t.Helper()
		examine(t, both).only(t, "shared-member-id", Critical, one.Endpoint(), two.Endpoint(), "Different etcds")
	}
	told() // level: both are empty
	level(t, one, two)
	put(t, one.Client(t), "greeter/1", "at one")
	put(t, two.Client(t), "greeter/1", "at the other")
	told() // level, with different data
	put(t, one.Client(t), "greeter/2", "ahead")
	told()
	same := Target{Addresses: []string{one.Endpoint(), "localhost:" + port(one)}}
	require.Empty(t, examine(t, same).found("shared-member-id"))
}

// level makes the logs of two etcds equally long.
func level(t *testing.T, one, two *etcdtest.Server) {
	t.Helper()
	index := func(srv *etcdtest.Server) uint64 {
		status, err := srv.Client(t).Status(t.Context(), srv.Endpoint())
		require.NoError(t, err)
		return status.RaftIndex
	}
	for index(one) != index(two) {
		behind := one
		if index(two) < index(one) {
			behind = two
		}
		fleet.Source{Client: behind.Client(t)}.AdvanceLog(t.Context())
	}
}

func port(srv *etcdtest.Server) string {
	u, _ := url.Parse("http://" + srv.Endpoint())
	return u.Port()
}

func TestMembersUnderWritesAreNotTakenForDifferent(t *testing.T) {
	cluster := etcdtest.StartCluster(t, 3)
	c := cluster.Client(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil {
			_, _ = c.Put(t.Context(), "busy", "x", clientv3.WithPrevKV())
		}
	}()
	t.Cleanup(func() { <-done })
	for range 5 {
		report := examine(t, Target{Addresses: append(cluster.Endpoints(), "localhost:"+port(cluster.Members[0]))})
		require.Empty(t, report.found("data"))
		require.Empty(t, report.found("shared-member-id"))
	}
}
