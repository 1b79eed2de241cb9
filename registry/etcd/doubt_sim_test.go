package etcd

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// A doubt about etcd's history, a suspended machine for one, makes everybody ask etcd at the same time.

func TestOwnWritesDuringAListThatWasDoubtedAreKept(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(2), testTTL)
		w, err := r.Watch(registry.WatchService("greeter"))
		require.NoError(t, err)
		var told []string
		over := make(chan struct{})
		go func() {
			defer close(over)
			for {
				result, err := w.Next()
				if err != nil {
					return
				}
				told = append(told, result.Action+" "+result.Service.Nodes[0].Id)
			}
		}()
		time.Sleep(time.Minute)

		served, release := make(chan struct{}), make(chan struct{})
		e.On(etcdfake.Reads, 1, func(_ context.Context, answer func() (any, error)) (any, error) {
			a, err := answer()
			close(served)
			<-release
			return a, err
		})
		mirror := r.components.Load().views.All()[0]
		mirror.Relist(metrics.ListHistoryChanged)
		<-served
		came := greeter(3)
		came.Nodes = came.Nodes[2:]
		mustRegister(t, r, came, testTTL)
		went := greeter(1)
		require.NoError(t, r.Deregister(went))
		close(release)
		time.Sleep(time.Minute)
		w.Stop()
		<-over
		require.Equal(t, []string{"create " + came.Nodes[0].Id, "delete " + went.Nodes[0].Id}, told)
	})
}

// Two etcds behind one address: what one grants, the other doesn't know.
func TestALeaseThatIsNeverKnownIsNotGrantedInATightLoop(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		looked(t, r, "greeter")
		mend := e.Refuse(etcdfake.Puts, rpctypes.ErrGRPCLeaseNotFound)
		err := r.Register(greeter(1), registry.RegisterTTL(testTTL))
		require.ErrorIs(t, err, ErrPending)
		require.ErrorIs(t, err, rpctypes.ErrLeaseNotFound)
		time.Sleep(time.Minute)
		require.Less(t, e.requests("LeaseGrant"), 60*2*3)
		mend()
		await(t, time.Second, "it is there", func() bool { return e.has(greeter(1)) })
	})
}

func TestARemovalThatIsNotPermittedEndsWithTheLease(t *testing.T) {
	for _, reading := range []string{"readable", "unreadable"} {
		withFake(t, func(t *testing.T, e *fakeEtcd) {
			r, _ := e.newRegistry(t)
			mustRegister(t, r, greeter(2), testTTL)
			mustRegister(t, r, other(1), testTTL)
			time.Sleep(time.Minute)
			e.Forbid(otherDir)
			e.Refuse(func(_ string, request any) bool {
				r, ok := request.(*pb.RangeRequest)
				return ok && reading == "unreadable" && strings.HasPrefix(string(r.Key), otherDir)
			}, rpctypes.ErrGRPCPermissionDenied)
			require.ErrorIs(t, r.Deregister(other(1)), rpctypes.ErrPermissionDenied)
			await(t, 2*testTTL, "it expires", func() bool { return !e.has(other(1)) })
			time.Sleep(2 * retry.MaxRefused)
			require.Len(t, r.Status().Registrations, 2, "nothing is left to do")
			require.Zero(t, e.lost(greeter(2)))
		})
	}
}
