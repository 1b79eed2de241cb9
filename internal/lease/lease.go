// Package lease keeps leases of etcd alive.
package lease

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/retry"
	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// Lessor grants and revokes the leases of a registry: one for each key, because whatever etcd does to a lease it does
// in one revision, and the official plugin's watcher sees only the first event of a revision.
//
// The ids are ours, so that one whose grant wasn't answered can be revoked, and so that a lease is known for ours by
// its id, however old: a restored snapshot may bring it back.
type Lessor struct {
	connector *etcdconn.Connector
	prefix    int64               // of the ids, in their upper 40 bits
	ids       atomic.Int64        // so far
	renewing  *semaphore.Weighted // for the leases that etcd is asked to renew
}

const leaseBits = 23 // of an id that count the leases of a registry

// maxRenewing bounds the renewals at one time. With a round trip of 200 ms, a thousand take less than a second.
const maxRenewing = 256

// New returns a lessor with ids of its own. Its leases end with the connector's context.
func New(c *etcdconn.Connector) *Lessor {
	return &Lessor{
		connector: c, prefix: (1<<39 + rand.Int64N(1<<39)) << leaseBits, renewing: semaphore.NewWeighted(maxRenewing),
	}
}

// Lease is one that is kept alive until it is stopped, or etcd says that it is gone, or that it won't renew it. Silence
// is no loss: only etcd's word is. A refused lease lives for what is left of its TTL.
type Lease struct {
	Seconds int64 // the TTL that is asked for
	ID      int64
	ttl     time.Duration
	Lost    chan struct{}             // closed when etcd says that it is gone
	Refused chan struct{}             // closed when etcd says that it won't renew it
	checks  signal.Signal             // to ask etcd at once
	Renewed atomic.Pointer[time.Time] // when what etcd has answered last was asked
	Stop    context.CancelFunc
}

// Check asks etcd at once whether the lease is still there.
func (l *Lease) Check() { l.checks.Send() }

// Owns reports whether a lease is one of this registry.
func (ls *Lessor) Owns(id int64) bool { return id>>leaseBits == ls.prefix>>leaseBits }

// Grant asks for a lease, and keeps it alive from then on. Each try has an id of its own: one that arrives late mustn't
// bring back a lease that was revoked. left are the ids of those that may have been granted besides.
func (ls *Lessor) Grant(ctx context.Context, seconds int64) (l *Lease, left []int64, err error) {
	var mu sync.Mutex
	asked := time.Now()
	answer, err := etcdconn.Do(ctx, ls.connector, func(
		ctx context.Context, current *etcdconn.Client,
	) (*pb.LeaseGrantResponse, error) {
		id := ls.prefix + ls.ids.Add(1)%(1<<leaseBits)
		mu.Lock()
		left = append(left, id)
		mu.Unlock()
		r := &pb.LeaseGrantRequest{ID: id, TTL: seconds}
		answer, err := clientv3.RetryLeaseClient(current.Client).LeaseGrant(ctx, r, grpc.WaitForReady(true))
		if err = rpctypes.Error(err); errors.Is(err, rpctypes.ErrLeaseExist) { // the etcd client has repeated it
			return &pb.LeaseGrantResponse{ID: id, TTL: seconds}, nil
		}
		return answer, err
	})
	if err != nil {
		return nil, left, err
	}
	ls.connector.Metrics.Leases.Add(metrics.LeaseGranted)
	l = &Lease{
		ID: answer.ID, Seconds: seconds, ttl: time.Duration(answer.TTL) * time.Second,
		Lost: make(chan struct{}), Refused: make(chan struct{}), checks: signal.New(),
	}
	l.Renewed.Store(&asked)
	ctx, l.Stop = context.WithCancel(ls.connector.Context)
	ls.connector.Go(func() { ls.renewLoop(ctx, l) })
	return l, slices.DeleteFunc(left, func(id int64) bool { return id == l.ID }), nil
}

// Revoke ends a lease, and with it whatever hangs on it, and says whether it was there. One that wasn't is a success: a
// try before may have ended it.
func (ls *Lessor) Revoke(ctx context.Context, id int64) (found bool, err error) {
	answer, err := etcdconn.Do(ctx, ls.connector, func(
		ctx context.Context, cl *etcdconn.Client,
	) (*clientv3.LeaseRevokeResponse, error) {
		answer, err := cl.Revoke(ctx, clientv3.LeaseID(id))
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return &clientv3.LeaseRevokeResponse{}, nil
		}
		return answer, err
	})
	if err != nil || answer.Header == nil {
		return false, err
	}
	ls.connector.Metrics.Leases.Add(metrics.LeaseRevoked)
	return true, nil
}

// renewLoop renews a lease at a third of its TTL, a little earlier at random, so that those of one time come apart.
// That leaves two thirds of it for whatever becomes of a member. A loss has to be said twice.
func (ls *Lessor) renewLoop(ctx context.Context, l *Lease) {
	defer l.Stop()
	denied, failures := false, 0
	wait := time.Until(*l.Renewed.Load()) + l.interval()
	for {
		retry.Pause(ctx, wait, l.checks)
		if ctx.Err() != nil {
			return
		}
		asked := time.Now()
		left, err := ls.renew(ctx, l)
		switch {
		case errors.Is(err, rpctypes.ErrPermissionDenied):
			ls.connector.Metrics.Leases.Add(metrics.LeaseRefused)
			close(l.Refused)
			return
		case err != nil:
			failures++
			wait = retry.Backoff(failures, err)
		case left >= l.ttl:
			l.Renewed.Store(&asked)
			denied, failures, wait = false, 0, time.Until(asked)+l.interval()
		case left > 0: // etcd's gRPC proxy says what it knows (server/v3 proxy/grpcproxy/lease.go)
			denied, wait = false, min(l.ttl/6, maxProxied)
		case !denied:
			denied, wait = true, 0
		default:
			ls.connector.Metrics.Leases.Add(metrics.LeaseLost)
			close(l.Lost)
			return
		}
	}
}

func (l *Lease) interval() time.Duration { return l.ttl/3 - rand.N(l.ttl/30) }

// renewTime is how long a renewal may take. It is sent again and again within that.
const renewTime = 10 * time.Second

// maxProxied bounds the wait after an answer below the TTL, which is no renewal.
const maxProxied = 5 * time.Second

// renew returns how long a lease lives from now on, as etcd says.
func (ls *Lessor) renew(ctx context.Context, l *Lease) (left time.Duration, err error) {
	if err := ls.renewing.Acquire(ctx, 1); err != nil {
		return 0, err
	}
	defer ls.renewing.Release(1)
	ctx, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	answer, err := ls.connector.Renew(ctx, l.ID)
	if err != nil {
		return 0, err
	}
	return time.Duration(answer.TTL) * time.Second, nil
}
