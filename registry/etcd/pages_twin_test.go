package etcd

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// send lets an etcd send what is read at some bytes a second.
func (e *fakeEtcd) send(bytesPerSecond int) {
	e.on(reads, always, func(ctx context.Context, answer func() (any, error)) (any, error) {
		a, err := answer()
		if err == nil {
			e.wait(ctx, time.Duration(sizeOf((*clientv3.GetResponse)(a.(*pb.RangeResponse))))*time.Second/time.Duration(bytesPerSecond))
		}
		return a, err
	})
}

// litter puts junk into the directory of greeter.
func (e *fakeEtcd) litter(n, size int) {
	junk := strings.Repeat("j", size)
	for i := range n {
		e.put(fmt.Sprintf("/micro/registry/greeter/junk%05d", i), junk, 0)
	}
}

func TestTheUsualServiceIsOneRequest(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.litter(maxPage-1, 300)
		e.put(greeterKey, `{"name":"greeter","nodes":[{"id":"n1"}]}`, 0)
		r, _ := e.newRegistry(t)
		before := e.requests("Range")
		require.Len(t, looked(t, r, "greeter"), 1)
		require.Equal(t, 1, e.requests("Range")-before)
	})
}

// The junk takes 10 seconds, which is more than a page or a call has.
func TestALookUpInADirectoryFullOfBigJunkSucceedsInTheEnd(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		provider, _ := e.newRegistry(t)
		mustRegister(t, provider, greeter(1), testTTL)
		e.litter(1000, 10_000)
		e.send(1_000_000)
		r, _ := e.newRegistry(t)
		await(t, 4*defaultTimeout, "the view is there", func() bool {
			_, err := r.GetService("greeter")
			return err == nil
		})
		require.Equal(t, e.truth("greeter"), looked(t, r, "greeter"))

		ctx, cancel := context.WithTimeout(t.Context(), 4*defaultTimeout)
		defer cancel()
		all, err := r.ListServices(registry.ListContext(ctx))
		require.NoError(t, err)
		require.Len(t, all, 1)
	})
}

// What one page has missed by its size comes with the next, and nothing twice.
func TestAListWhosePagesFailIsWholeAndOfOneRevision(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.litter(100, 10)
		e.on(reads, always, func(_ context.Context, answer func() (any, error)) (any, error) {
			a, err := answer()
			if err != nil {
				return nil, err
			}
			if n := len(a.(*pb.RangeResponse).Kvs); n > 7 {
				return nil, status.Error(codes.ResourceExhausted, "trying to send message larger than max")
			}
			e.put(fmt.Sprint("/micro/registry/greeter/z", e.revision()), "later", 0)
			return a, nil
		})
		r, _ := e.newRegistry(t)
		all, err := list(t.Context(), r.connector, "/micro/registry/greeter/", time.Second)
		require.NoError(t, err)
		require.Len(t, all.kvs, 100)
		for i, kv := range all.kvs {
			require.Equal(t, fmt.Sprintf("/micro/registry/greeter/junk%05d", i), string(kv.Key))
		}
	})
}

// It takes three failures to know that smaller pages don't help.
func TestAnEtcdThatSendsNothingIsNotAskedForEver(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.ignore(reads, always)
		r, _ := e.newRegistry(t)
		_, err := r.connector.link(t.Context())
		require.NoError(t, err)
		began := time.Now()
		_, err = list(t.Context(), r.connector, DefaultPrefix, time.Second)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.LessOrEqual(t, time.Since(began), 6*time.Second)
	})
}

func TestPagesFollowFromWhatTheyTurnOutToBe(t *testing.T) {
	for name, c := range map[string]struct {
		before, keys, size int
		took               time.Duration
		after              int
	}{
		"usual":               {maxPage, 2000, 2000 * 1000, time.Millisecond, 2000},
		"big":                 {maxPage, 2000, 2000 << 20, time.Second, 8},
		"a few big ones":      {maxPage, 2000, 16 << 20, time.Second, 1000},
		"big and few":         {maxPage, 10, 16 << 20, time.Second, 5},
		"one that is too big": {maxPage, 1, 16 << 20, time.Second, 1},
		"small after big":     {8, 8, 8000, time.Millisecond, 16},
		"small but slow":      {8, 8, 8000, 2 * time.Second, 8},
		"just right":          {8, 8, 8 << 20, time.Second, 8},
	} {
		p := &pages{limit: c.before, time: 5 * time.Second}
		p.learn(c.keys, c.size, c.took)
		require.Equal(t, c.after, p.limit, name)
	}
	require.Equal(t, 3, sizeOf(&clientv3.GetResponse{Kvs: []*mvccpb.KeyValue{{Key: []byte("k"), Value: []byte("vv")}}}))
}
