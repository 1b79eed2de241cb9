package etcd

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
)

// leases grants and revokes the leases of a registry: one for each key, because whatever etcd does to a lease it does in
// one revision, and the official plugin's watcher sees only the first event of a revision.
//
// The ids are ours, so that a grant can be repeated without leaving a lease behind, and so that a lease is known for
// ours by its id, however old: a restored snapshot may bring it back.
type leases struct {
	connector *connector
	keepAlive *etcdconn.KeepAlive
	prefix    int64 // of the ids, in their upper 40 bits
	granted   atomic.Int64
}

const leaseBits = 23 // of an id that count the leases of a registry

func newLeases(c *connector, k *etcdconn.KeepAlive) *leases {
	return &leases{connector: c, keepAlive: k, prefix: (1<<39 + rand.Int64N(1<<39)) << leaseBits}
}

// isOurs reports whether a lease is one of this registry.
func (ls *leases) isOurs(id int64) bool { return id>>leaseBits == ls.prefix>>leaseBits }

// grant asks for a lease of a TTL in seconds, and keeps it alive from then on.
func (ls *leases) grant(ctx context.Context, seconds int64) (*etcdconn.Lease, error) {
	id := ls.prefix + ls.granted.Add(1)%(1<<leaseBits)
	asked := time.Now()
	answer, err := call(ctx, ls.connector, func(ctx context.Context, l *link) (*pb.LeaseGrantResponse, error) {
		r := &pb.LeaseGrantRequest{ID: id, TTL: seconds}
		answer, err := clientv3.RetryLeaseClient(l.Client).LeaseGrant(ctx, r, grpc.WaitForReady(true))
		if err = rpctypes.Error(err); errors.Is(err, rpctypes.ErrLeaseExist) { // a try before has done it
			return &pb.LeaseGrantResponse{ID: id, TTL: seconds}, nil
		}
		if err == nil {
			l.history.saw(answer.Header)
		}
		return answer, err
	})
	if err != nil {
		return nil, err
	}
	ls.connector.metrics.leases.add(leaseGranted)
	return ls.keepAlive.Add(id, time.Duration(answer.TTL)*time.Second, asked), nil
}

// revoke ends a lease, and with it whatever hangs on it. One that is gone already is a success: a try before may have
// done it.
func (ls *leases) revoke(ctx context.Context, id int64) error {
	_, err := call(ctx, ls.connector, func(ctx context.Context, l *link) (*clientv3.LeaseRevokeResponse, error) {
		answer, err := l.Revoke(ctx, clientv3.LeaseID(id))
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return &clientv3.LeaseRevokeResponse{}, nil
		}
		return answer, err
	})
	if err == nil {
		ls.connector.metrics.leases.add(leaseRevoked)
	}
	return err
}

// noteLease counts what becomes of leases.
func (m *metrics) noteLease(change etcdconn.LeaseChange) {
	m.leases.add(map[etcdconn.LeaseChange]leaseChange{
		etcdconn.LeaseSuspect: leaseSuspect, etcdconn.LeaseHeld: leaseHeld,
		etcdconn.LeaseRefused: leaseRefused, etcdconn.LeaseLost: leaseLost,
	}[change])
}
