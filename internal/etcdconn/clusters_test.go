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
	type answer struct {
		member  string
		cluster uint64
	}
	repeated := func(n int, answers ...answer) (all []answer) {
		for range n {
			all = append(all, answers...)
		}
		return all
	}
	for name, c := range map[string]struct {
		pause   time.Duration // before each
		answers []answer
		mixed   bool // after the last one
	}{
		"one cluster":       {0, repeated(9, answer{"x", 1}, answer{"y", 1}), false},
		"two":               {0, repeated(9, answer{"x", 1}, answer{"y", 2}), true},
		"two, seldom asked": {20 * time.Second, repeated(9, answer{"x", 1}, answer{"y", 2}), true},
		"one that replaces another": {
			0, []answer{{"x", 1}, {"y", 1}, {"x", 2}, {"y", 1}, {"x", 2}, {"y", 2}, {"x", 2}}, false,
		},
		"one address, there and back": {0, repeated(9, answer{"x", 1}, answer{"x", 2}), false},
		"two, until all are replaced": {0, append(repeated(9, answer{"x", 1}, answer{"y", 2}), answer{"x", 2}), false},
		"two, until one is gone": {
			time.Second, append(repeated(9, answer{"x", 1}, answer{"y", 2}), repeated(12, answer{"x", 1})...), false,
		},
		"two, of which one is slow": {
			time.Second, append(repeated(9, answer{"x", 1}, answer{"y", 2}), repeated(8, answer{"x", 1})...), true,
		},
		"a caller's client": {0, repeated(9, answer{"", 1}, answer{"", 2}), false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var seen clusters
			var err error
			for _, a := range c.answers {
				time.Sleep(c.pause)
				err = seen.observe(&pb.ResponseHeader{ClusterId: a.cluster}, a.member)
			}
			if require.NoError(t, seen.observe(nil, "x")); !c.mixed {
				require.NoError(t, err, name)
				return
			}
			require.EqualError(t, err, etcderr.ErrMixedClusters.Error()+": 1 at x; 2 at y", name)
		})
	}
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
	require.Less(t, asked.Load(), int32(50))
}
