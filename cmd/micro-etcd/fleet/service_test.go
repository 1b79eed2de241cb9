package fleet

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/internal/catalog"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// written is a record at a key that was written at a revision.
func written(revision int64, key, version, id string) *Record {
	return &Record{Key: key, Modified: revision, Service: &catalog.Service{
		Name: "greeter", Version: version, Metadata: map[string]string{"written": fmt.Sprint(revision)},
		Nodes: []*catalog.Node{{Id: id}},
	}}
}

func TestOfTwoKeysOfANodeTheOneWrittenLastCounts(t *testing.T) {
	a, old := written(5, "a", "2", "a"), written(2, "b", "1", "b")
	moved, b := written(4, "moved", "2", "b"), written(3, "c", "1", "c")
	f := &Fleet{Records: []*Record{a, old, b, {Key: "junk", Err: etcd.ErrMalformed}, moved}}
	services := f.Services()
	require.Len(t, services, 1)
	require.Equal(t, "greeter", services[0].Name)
	one, two := services[0].Versions[0], services[0].Versions[1]
	require.Equal(t, []*Record{b}, one.Nodes)
	require.Equal(t, []*Record{a, moved}, two.Nodes)
	require.Equal(t, map[string]string{"written": "5"}, two.Profile.Metadata)
}
