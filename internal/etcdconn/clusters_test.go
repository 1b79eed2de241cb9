package etcdconn

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/micro-etcd/micro-etcd/internal/etcderr"
)

func TestClustersThatAnswerByTurnsAreMixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clusters
		at := func(id uint64) error { return c.observe(&pb.ResponseHeader{ClusterId: id}, "m") }
		for _, id := range []uint64{1, 1, 2, 2, 1, 1} {
			require.NoError(t, at(id), "one has taken the place of the other, and an answer was late")
		}
		require.NoError(t, c.observe(nil, "m"))
		require.EqualError(t, at(2), etcderr.ErrMixedClusters.Error()+": 1 at m and 2 at m")
		require.Error(t, at(2))
		time.Sleep(clusterTime + time.Second)
		require.NoError(t, at(2), "the other one is gone")
		require.NoError(t, at(1))
		require.NoError(t, at(2))
	})
}

func TestAddressesOfTwoClustersAreFewRequestsAndAnErrorThatNamesThem(t *testing.T) {
	var asked atomic.Int32
	answer := func(context.Context) error { asked.Add(1); return nil }
	one, other := startMemberOf(t, 0xa, answer), startMemberOf(t, 0xb, answer)
	c := newTestConnector(t, one, other)
	var err error
	for n := 0; err == nil; n++ {
		require.Less(t, n, 100)
		err = get(t, c, 10*time.Second)
	}
	require.ErrorIs(t, err, etcderr.ErrMixedClusters)
	require.ErrorContains(t, err, "a at "+one[len("http://"):])
	require.ErrorContains(t, err, "b at "+other[len("http://"):])
	asked.Store(0)
	for range 1000 {
		require.ErrorIs(t, get(t, c, 10*time.Second), etcderr.ErrMixedClusters)
	}
	require.Less(t, asked.Load(), int32(20))
}
