package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/leak"
)

const patience = 30 * time.Second

func TestMain(m *testing.M) { leak.Verify(m) }

func put(tb testing.TB, c *clientv3.Client, key, value string, opts ...clientv3.OpOption) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	_, err := c.Put(ctx, key, value, opts...)
	require.NoError(tb, err)
}

func remove(tb testing.TB, c *clientv3.Client, key string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	_, err := c.Delete(ctx, key)
	require.NoError(tb, err)
}

// node is a stored record of one node.
func node(name, id string) string {
	b, err := json.Marshal(
		&registry.Service{Name: name, Version: "1", Nodes: []*registry.Node{{Id: id, Address: "10.0.0.1:80"}}},
	)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func read(tb testing.TB, s Source) *Fleet {
	tb.Helper()
	f, err := s.Read(tb.Context(), nil)
	require.NoError(tb, err)
	return f
}

func keys(f *Fleet) []string {
	var keys []string
	for _, r := range f.Records {
		keys = append(keys, r.Key)
	}
	return keys
}

func TestReadSaysWhatEtcdKnowsOfARecord(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	grant, err := c.Grant(t.Context(), 60)
	require.NoError(t, err)
	put(t, c, "/micro/registry/a/1", node("a", "1"))
	put(t, c, "/micro/registry/a/1", node("a", "1"), clientv3.WithLease(grant.ID))
	put(t, c, "/micro/registry/a/junk", "junk")
	put(t, c, "/elsewhere", "x")

	f := read(t, Source{Client: c})
	require.EqualValues(t, 5, f.Revision)
	require.Equal(t, []string{"/micro/registry/a/1", "/micro/registry/a/junk"}, keys(f))
	one, junk := f.Records[0], f.Records[1]
	require.Equal(t, "10.0.0.1:80", one.Node().Address)
	require.Equal(t, len(node("a", "1")), one.Size)
	require.Equal(t, []int64{2, 3, 2}, []int64{one.Created, one.Modified, one.Writes})
	require.Equal(t, grant.ID, one.Lease)
	require.True(t, one.Before)
	require.ErrorIs(t, junk.Err, etcd.ErrMalformed)
	require.Nil(t, junk.Node())
}

func TestReadIsOnePictureOfManyPages(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	const n = 2000
	var ops []clientv3.Op
	for i := range n {
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("/micro/registry/a/%05d", i), node("a", fmt.Sprint(i))))
		if len(ops) == 100 || i == n-1 {
			_, err := c.Txn(t.Context()).Then(ops...).Commit()
			require.NoError(t, err)
			ops = nil
		}
	}
	var told [][2]int
	f, err := Source{Client: c}.Read(t.Context(), func(done, all int) {
		told = append(told, [2]int{done, all})
		remove(t, c, "/micro/registry/a/01999") // later than the picture
	})
	require.NoError(t, err)
	require.Len(t, f.Records, n)
	require.Greater(t, len(told), 2)
	require.Equal(t, [2]int{n, n}, told[len(told)-1])
}

func TestReadBeginsAnewWhenEtcdIsCompactedMeanwhile(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	var ops []clientv3.Op
	const n = 1000
	for i := range n {
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("/micro/registry/a/%05d", i), node("a", fmt.Sprint(i))))
		if len(ops) == 128 || i == n-1 {
			_, err := c.Txn(t.Context()).Then(ops...).Commit()
			require.NoError(t, err)
			ops = nil
		}
	}
	compacted := false
	f, err := Source{Client: c}.Read(t.Context(), func(int, int) {
		if !compacted {
			compacted = true
			put(t, c, "/micro/registry/a/new", node("a", "new"))
			now, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
			_, err = c.Compact(t.Context(), now.Header.Revision)
			require.NoError(t, err)
		}
	})
	require.NoError(t, err)
	require.Len(t, f.Records, n+1)
}

func TestOneServiceIsReadFromItsDirectoryAsTheRegistryWroteIt(t *testing.T) {
	srv := etcdtest.Start(t)
	r, err := etcd.New(registry.Addrs(srv.Endpoint()), etcd.Prefix("/tenant"))
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	require.NoError(t, r.Register(
		&registry.Service{Name: "shop/cart", Nodes: []*registry.Node{{Id: "x/1"}}}, registry.RegisterTTL(time.Minute),
	))
	require.NoError(t, r.Register(
		&registry.Service{Name: "shop-cart", Nodes: []*registry.Node{{Id: "2"}}}, registry.RegisterTTL(time.Minute),
	))
	c, err := r.Client(t.Context())
	require.NoError(t, err)
	put(t, c, "/tenant/shop-cart/junk", "junk")
	put(t, c, "/tenant/shop-cart-admin/3", node("shop-cart-admin", "3"))

	require.Equal(t, []string{
		"/tenant/shop-cart/junk", "/tenant/shop-cart/x/1",
	}, keys(read(t, Source{Client: c, Prefix: "/tenant", Service: "shop/cart"})))
	require.Len(t, read(t, Source{Client: c, Prefix: "/tenant"}).Records, 4)
}

func TestALeaseIsNamedAsEtcdctlNamesIt(t *testing.T) {
	require.Equal(t, "694da213e51d7936", LeaseName(0x694da213e51d7936))
	require.Equal(t, "0a4da213e51d7936", LeaseName(0x0a4da213e51d7936))
}

func TestLeasesTellsOfThoseThereAre(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	var ids []clientv3.LeaseID
	for i := range 100 {
		grant, err := c.Grant(t.Context(), 60)
		require.NoError(t, err)
		put(t, c, fmt.Sprint("/micro/registry/a/", i), node("a", "1"), clientv3.WithLease(grant.ID))
		ids = append(ids, grant.ID, grant.ID)
	}
	_, err := c.Revoke(t.Context(), ids[0])
	require.NoError(t, err)
	last := 0
	leases, err := Source{Client: c}.Leases(t.Context(), append(ids, 0), func(done, all int) {
		require.Equal(t, 100, all)
		last = done
	})
	require.NoError(t, err)
	require.Equal(t, 100, last)
	require.Len(t, leases, 99)
	lease := leases[ids[2]]
	require.Equal(t, time.Minute, lease.Granted)
	require.LessOrEqual(t, lease.Left, time.Minute)
	require.Positive(t, lease.Left)
	require.Equal(t, []string{"/micro/registry/a/1"}, lease.Keys)
}

// notice is a stored notice of a node that is out of service.
func notice(record, by string) string {
	value, err := catalog.EncodeNotice(catalog.Notice{Reason: "deploy", By: by, Record: []byte(record)})
	if err != nil {
		panic(err)
	}
	return string(value)
}

func TestANoticeIsNoRecordAndNotMalformed(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	dir := "/micro/registry/a/"
	put(t, c, dir+".out-of-service/1", notice(node("a", "1"), "alice@ops"))
	put(t, c, dir+".out-of-service/2", notice(node("a", "2"), ""))
	put(t, c, dir+"2", node("a", "2"))
	put(t, c, dir+"3", node("a", "3"))
	put(t, c, "/micro/registry/a-b/.out-of-service/1", notice(node("a-b", "1"), ""))
	for key, value := range map[string]string{
		"4": `{"no":"record"}`, "5": notice("{}", "alice@ops"), "6": notice(node("b", "6"), "alice@ops"),
	} {
		put(t, c, dir+".out-of-service/"+key, value)
	}
	put(t, c, dir+"7", notice(node("a", "7"), "alice@ops")) // not at a key for notices

	f := read(t, Source{Client: c, Service: "a"})
	require.Equal(t, []string{
		dir + ".out-of-service/1", dir + ".out-of-service/2", dir + ".out-of-service/4", dir + ".out-of-service/5",
		dir + ".out-of-service/6", dir + "2", dir + "3", dir + "7",
	}, keys(f))
	for i, r := range f.Records[:2] {
		require.NoError(t, r.Err)
		require.True(t, r.IsNotice())
		require.Equal(t, fmt.Sprint(1+i), r.Node().Id)
	}
	require.Equal(t, "alice@ops", f.Records[0].Notice.By)
	for _, i := range []int{2, 3, 4, 7} {
		require.ErrorIs(t, f.Records[i].Err, etcd.ErrMalformed, f.Records[i].Key)
		require.False(t, f.Records[i].IsNotice())
	}
	require.Equal(t, []*Record{f.Records[0]}, f.OutOfService(), "where there is a record it counts")
	services := f.Services()
	require.Len(t, services, 1)
	require.Equal(t, f.Records[5:7], services[0].Versions[0].Nodes)
	require.Empty(t, read(t, Source{Client: c, Service: "a/b"}).Records)
}

func TestKeysAreReadAtOneRevision(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	put(t, c, "/micro/registry/a/1", node("a", "1"))
	put(t, c, "/micro/registry/a/.out-of-service/2", notice(node("a", "2"), ""))
	s := Source{Client: c, Service: "b"}
	found, err := s.Keys(t.Context(), "/micro/registry/a/2", "/micro/registry/a/.out-of-service/2", "/micro/registry/a/1")
	require.NoError(t, err)
	require.Nil(t, found[0])
	require.True(t, found[1].IsNotice())
	require.Equal(t, "1", found[2].Node().Id)
}
