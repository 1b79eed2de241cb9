package directory

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func event(kind mvccpb.Event_EventType, key string, revision int64) *clientv3.Event {
	return &clientv3.Event{Type: kind, Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: revision}}
}

// exit is what etcd tells of a node that goes out of service.
func exit(id string, revision int64) []*clientv3.Event {
	return []*clientv3.Event{
		event(clientv3.EventTypePut, "/g/.out-of-service/"+id, revision),
		event(clientv3.EventTypeDelete, "/g/"+id, revision),
	}
}

func TestAnExitTooManyIsNoticed(t *testing.T) {
	d := &Directory{keys: map[string]bool{}}
	for revision, id := range []string{"1", "2", "3"} {
		d.take([]*clientv3.Event{event(clientv3.EventTypePut, "/g/"+id, int64(revision+1))})
	}
	d.take(exit("1", 4))
	require.Empty(t, d.Overshot())
	d.take([]*clientv3.Event{event(clientv3.EventTypeDelete, "/g/3", 5), event(clientv3.EventTypeDelete, "/g/2", 6)})
	require.Empty(t, d.Overshot(), "processes have ended")
	d.take([]*clientv3.Event{event(clientv3.EventTypePut, "/g/2", 7), event(clientv3.EventTypePut, "/g/3", 8)})
	d.take(exit("2", 9))
	require.Equal(t, "1 in service and 2 out at revision 9", d.Overshot())
	in, out := d.Count()
	require.Equal(t, []int{1, 2}, []int{in, out})
}
