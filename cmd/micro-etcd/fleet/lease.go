package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Lease is what etcd says of a lease. Times are in whole seconds, as etcd keeps them.
type Lease struct {
	ID      clientv3.LeaseID
	Left    time.Duration // until it expires unless it is renewed
	Granted time.Duration // its TTL
	Keys    []string      // that hang on it, of all prefixes
	Hidden  bool          // the user may not see the keys, so there are none
}

// LeaseName returns a lease's id as etcdctl prints it.
func LeaseName(id clientv3.LeaseID) string { return fmt.Sprintf("%016x", int64(id)) }

// leaseRequests bounds the requests under way: etcd tells of one lease at a time.
const leaseRequests = 32

// Leases asks for each of the leases, a bounded number at a time. Those that are gone are not in the result; neither is
// 0.
func (s Source) Leases(
	ctx context.Context, ids []clientv3.LeaseID, progress Progress,
) (map[clientv3.LeaseID]Lease, error) {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.DeleteFunc(slices.Compact(ids), func(id clientv3.LeaseID) bool { return id == 0 })
	found := make([]*Lease, len(ids))
	err := progress.Each(ctx, len(ids), leaseRequests, func(ctx context.Context, i int) (err error) {
		found[i], err = s.lease(ctx, ids[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	leases := make(map[clientv3.LeaseID]Lease, len(ids))
	for _, lease := range found {
		if lease != nil {
			leases[lease.ID] = *lease
		}
	}
	return leases, nil
}

// lease returns nil for a lease that is gone.
func (s Source) lease(ctx context.Context, id clientv3.LeaseID) (*Lease, error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), s.timeout())
	defer cancel()
	answer, err := s.Client.TimeToLive(ctx, id, clientv3.WithAttachedKeys())
	hidden := errors.Is(err, rpctypes.ErrPermissionDenied)
	if hidden { // for a key of it; without the keys it is nobody's secret
		answer, err = s.Client.TimeToLive(ctx, id)
	}
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("lease %s: %w", LeaseName(id), err)
	case answer.GrantedTTL == 0:
		return nil, nil
	}
	lease := &Lease{
		ID: id, Hidden: hidden,
		Left:    time.Duration(max(0, answer.TTL)) * time.Second,
		Granted: time.Duration(answer.GrantedTTL) * time.Second,
	}
	for _, key := range answer.Keys {
		lease.Keys = append(lease.Keys, string(key))
	}
	return lease, nil
}
