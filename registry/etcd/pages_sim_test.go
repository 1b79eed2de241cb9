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
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
)

// send lets an etcd send what is read at some bytes a second.
func (e *fakeEtcd) send(bytesPerSecond int) {
	e.On(etcdfake.Reads, etcdfake.Always, func(ctx context.Context, answer func() (any, error)) (any, error) {
		a, err := answer()
		if err == nil {
			size := 0
			for _, kv := range a.(*pb.RangeResponse).Kvs {
				size += len(kv.Key) + len(kv.Value)
			}
			e.Wait(ctx, time.Duration(size)*time.Second/time.Duration(bytesPerSecond))
		}
		return a, err
	})
}

// listOf returns a lister with a second for each page.
func listOf(r *Registry, prefix string) *reflector.Lister {
	l := r.components.Load().views.Lister(prefix, nil)
	l.Timeout = func() time.Duration { return time.Second }
	return &l
}

// litter puts junk into the directory of greeter.
func (e *fakeEtcd) litter(n, size int) {
	junk := strings.Repeat("j", size)
	for i := range n {
		e.PutKey(fmt.Sprintf("/micro/registry/greeter/junk%05d", i), junk, 0)
	}
}

func TestTheUsualServiceIsOneRequest(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.litter(63, 300)
		e.PutKey(greeterKey, `{"name":"greeter","nodes":[{"id":"n1"}]}`, 0)
		r, _ := e.newRegistry(t)
		before := e.requests("Range")
		require.Len(t, looked(t, r, "greeter"), 1)
		require.Equal(t, 1, e.requests("Range")-before)
	})
}

// The junk takes 10 seconds, which is more than a page or a call has.
func TestALookupInADirectoryFullOfBigJunkSucceedsInTheEnd(t *testing.T) {
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
		e.On(etcdfake.Reads, etcdfake.Always, func(_ context.Context, answer func() (any, error)) (any, error) {
			a, err := answer()
			if err != nil {
				return nil, err
			}
			if n := len(a.(*pb.RangeResponse).Kvs); n > 7 {
				return nil, status.Error(codes.ResourceExhausted, "trying to send message larger than max")
			}
			e.PutKey(fmt.Sprint("/micro/registry/greeter/z", e.Revision()), "later", 0)
			return a, nil
		})
		r, _ := e.newRegistry(t)
		all, err := listOf(r, "/micro/registry/greeter/").List(t.Context())
		require.NoError(t, err)
		require.Len(t, all.Kvs, 100)
		for i, kv := range all.Kvs {
			require.Equal(t, fmt.Sprintf("/micro/registry/greeter/junk%05d", i), string(kv.Key))
		}
	})
}

// It takes three failures to know that smaller pages don't help.
func TestAnEtcdThatSendsNothingIsNotAskedForEver(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		e.Ignore(etcdfake.Reads, etcdfake.Always)
		r, _ := e.newRegistry(t)
		_, err := r.connector.Connect(t.Context())
		require.NoError(t, err)
		began := time.Now()
		_, err = listOf(r, DefaultPrefix).List(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.LessOrEqual(t, time.Since(began), 6*time.Second)
	})
}
