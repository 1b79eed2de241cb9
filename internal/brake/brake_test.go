package brake

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

func TestAtMostHalfOfTheNodesMayBeOut(t *testing.T) {
	for _, c := range []struct {
		records, notices int
		want             bool
	}{
		{0, 0, false},
		{1, 0, false}, // the only one
		{2, 0, true},
		{1, 1, false}, // the last one
		{3, 0, true},
		{2, 1, false},
		{4, 0, true},
		{3, 1, true},
		{2, 2, false},
		{0, 5, false},
		{51, 49, true},
		{50, 50, false},
		{1, 100, false},
	} {
		require.Equal(t, c.want, Nodes{In: c.records, Out: c.notices}.MayLeave(), "%+v", c)
	}
}

func TestALongDrainEndsAtHalf(t *testing.T) {
	for n := range 100 {
		all := Nodes{In: n}
		for all.MayLeave() {
			all = all.AfterExit()
		}
		require.Equal(t, n/2, all.Out, "of %d", n)
	}
}

func TestCountKnowsRecordsFromNotices(t *testing.T) {
	keys := catalog.Keyspace{Prefix: "/p/"}
	for name, c := range map[string]struct {
		keys             []string
		records, notices int
	}{
		"none":                 {},
		"records":              {[]string{"/p/a/1", "/p/a/2"}, 2, 0},
		"notices":              {[]string{"/p/a/.out-of-service/1", "/p/a/.out-of-service/topic/2"}, 0, 2},
		"both":                 {[]string{"/p/a/.out-of-service/1", "/p/a/2", "/p/a/3"}, 2, 1},
		"the record counts":    {[]string{"/p/a/.out-of-service/1", "/p/a/1"}, 1, 0},
		"a node like that":     {[]string{"/p/a/.out-of-service"}, 1, 0},
		"junk":                 {[]string{"/p/a/junk", "/p/a/.out-of-service/junk", "/p/a/1"}, 1, 0},
		"a slash in the names": {[]string{"/p/a/.out-of-service/x/y", "/p/a/x/y", "/p/a/x"}, 2, 0},
	} {
		var kvs []*mvccpb.KeyValue
		for _, key := range c.keys {
			kvs = append(kvs, &mvccpb.KeyValue{Key: []byte(key), Value: stored(t, keys, key)})
		}
		n := Count(keys, "a", kvs, 1)
		require.Equal(t, []int{c.records, c.notices}, []int{n.In, n.Out}, name)
	}
}

// stored is the record or notice of a node at a key, or junk.
func stored(t *testing.T, keys catalog.Keyspace, key string) []byte {
	t.Helper()
	of, isNotice := keys.OfNotice(key)
	if !isNotice {
		of = key
	}
	if strings.HasSuffix(key, "junk") {
		return []byte("junk")
	}
	record, err := catalog.Encode(&catalog.Record{
		Name: "a", Profile: &catalog.Profile{}, Node: &catalog.Node{Id: strings.TrimPrefix(of, "/p/a/")},
	})
	require.NoError(t, err)
	if !isNotice {
		return record
	}
	notice, err := catalog.EncodeNotice(catalog.Notice{Record: record})
	require.NoError(t, err)
	return notice
}

func TestServicesThatShareADirectoryAreCountedApart(t *testing.T) {
	keys := catalog.Keyspace{Prefix: "/p/"}
	record := []byte(`{"name":"a/b","nodes":[{"id":"1"}]}`)
	kvs := []*mvccpb.KeyValue{{Key: []byte("/p/a-b/1"), Value: record}}
	require.Equal(t, 1, Count(keys, "a/b", kvs, 1).In)
	require.Zero(t, Count(keys, "a-b", kvs, 1).In)
}

func TestTheGuardIsOneComparisonOfAllNotices(t *testing.T) {
	guard := Count(catalog.Keyspace{Prefix: "/p/"}, "a", nil, 7).Guard()
	notices := clientv3.ModRevision("/p/a/.out-of-service/")
	require.Equal(t, clientv3.Compare(notices, "<", 8).WithRange("/p/a/.out-of-service0"), guard,
		"what was counted may be there")
}
