package change

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

func TestUndrainMeetsTheAcknowledgment(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Lasting(t, c, fleettest.Greeter("1", "80", "81"))
	since := time.Now().UTC().Truncate(time.Second)
	fleettest.PutNotice(t, c, "80", catalog.Notice{By: "alice@ops", Since: since})
	a := quiet()
	source := fleet.Source{Client: c, Service: "greeter"}
	shown, err := choose(t.Context(), &source, &selection{service: "greeter", node: "80"})
	require.NoError(t, err)
	fleettest.Acknowledge(t.Context(), c, &clientv3.Event{Kv: fleettest.At(t, c, fleettest.NoticeKey("80"))})
	_, err = putBackLatest(t.Context(), a, source, shown[0])
	require.NoError(t, err)
	require.NotNil(t, fleettest.At(t, c, fleettest.RecordKey("80")))

	fleettest.PutNotice(t, c, "80", catalog.Notice{By: "bob@ops", Since: since.Add(time.Second)})
	_, err = putBackLatest(t.Context(), a, source, shown[0])
	require.ErrorIs(t, err, errStale, "that is another drain")
	require.NotNil(t, fleettest.NoticeAt(t, c, "80"))
}
