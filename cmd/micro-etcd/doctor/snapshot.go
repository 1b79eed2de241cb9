package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go-micro.dev/v4/registry"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// snapshot is what was gathered. Checks only read it.
type snapshot struct {
	target    Target
	addresses []string // as the registry has them

	members    []member     // as they answered at the addresses, and then those of the list that didn't
	memberList []*pb.Member // nil if no member answered with it
	skipped    []string     // members' URLs that weren't asked, because they are plain

	comparisons []comparison // of those that answered, if they are several

	connectErr error // why there is no client for what follows
	lookupErr  error // what a lookup returned
	readErr    error // whether the user may read
	writeErr   error // and write

	source      fleet.Source
	fleet       *fleet.Fleet // nil if it couldn't be read
	fleetErr    error        // why
	leases      map[clientv3.LeaseID]fleet.Lease
	leasesErr   error // why leases aren't known
	emptyLeases []fleet.Lease
	orphans     []*fleet.Record // on leases that don't exist
}

// comparison is what a member said at one address, and what it said when it was asked once more, after all had
// answered.
type comparison struct {
	address     string
	first, then *clientv3.StatusResponse // then is nil if it didn't answer any more, or as another member
	last        int64                    // its revision after that

	hash    *clientv3.HashKVResponse // of its data, up to a revision that all have
	hashErr error                    // why there is none
}

// maxAsked bounds how many addresses are asked at a time.
const maxAsked = 8

// askEach asks each address on its own.
func (s *snapshot) askEach(ctx context.Context, addresses []string) []member {
	members := make([]member, len(addresses))
	_ = s.target.progress("visiting members").Each(ctx, len(addresses), maxAsked, func(ctx context.Context, i int) error {
		members[i] = s.target.ask(ctx, addresses[i])
		return nil // a member that can't be reached is a finding
	})
	return members
}

// askMembers takes the member list of the first member that answered, and asks those members that didn't answer yet.
// That sends the user's password, so it goes to a plain URL only if the addresses are plain, too.
func (s *snapshot) askMembers(ctx context.Context) {
	reached := make(map[uint64]bool)
	for _, m := range s.members {
		if m.err != nil {
			continue
		}
		reached[m.id] = true
		if s.memberList == nil {
			s.memberList = m.memberList
		}
	}
	plain := slices.ContainsFunc(s.addresses, func(address string) bool { return strings.HasPrefix(address, "http://") })
	var addresses []string
	for _, m := range s.memberList {
		for _, url := range m.ClientURLs {
			switch {
			case reached[m.ID] || slices.Contains(s.addresses, url):
			case plain || strings.HasPrefix(url, "https://") || strings.HasPrefix(url, "unixs://"):
				addresses = append(addresses, url)
			default:
				s.skipped = append(s.skipped, url)
			}
		}
	}
	s.members = append(s.members, s.askEach(ctx, addresses)...)
}

// askCluster does what a plugin does, and reads what it keeps.
func (s *snapshot) askCluster(ctx context.Context, r *etcd.Registry) {
	if s.target.Service != "" {
		_, s.lookupErr = r.GetService(s.target.Service, registry.GetContext(ctx))
		if errors.Is(s.lookupErr, registry.ErrNotFound) {
			s.lookupErr = nil
		}
	} else {
		_, s.lookupErr = r.ListServices(registry.ListContext(ctx))
	}
	if s.lookupErr != nil && !isDenied(s.lookupErr) {
		return // the rest would only wait for the same
	}
	s.readErr, s.writeErr = s.permitted(ctx)
	if s.fleet, s.fleetErr = s.source.Read(ctx, s.target.progress("reading records")); s.fleetErr == nil {
		s.askLeases(ctx)
	}
}

// permitted finds out what the user may do, without writing anything: etcd checks permissions for both branches of a
// transaction (server/v3 etcdserver/apply/apply_auth.go, checkTxnPermission), and never takes Else when there is
// nothing to compare.
func (s *snapshot) permitted(ctx context.Context) (read, write error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), s.target.timeout())
	defer cancel()
	_, read = s.source.Client.Get(
		ctx, s.source.Dir(), clientv3.WithPrefix(), clientv3.WithLimit(1), clientv3.WithKeysOnly(),
	)
	never := clientv3.OpPut(s.source.Dir()+"micro-etcd-doctor", "")
	_, write = s.source.Client.Txn(ctx).Else(never).Commit()
	return read, write
}

// askLeases asks for those of the records, and for those that no key hangs on.
func (s *snapshot) askLeases(ctx context.Context) {
	var ids []clientv3.LeaseID
	for _, r := range s.fleet.Records {
		ids = append(ids, r.Lease)
	}
	if s.target.Service == "" {
		var all []clientv3.LeaseID
		if all, s.leasesErr = s.allLeases(ctx); s.leasesErr != nil {
			return
		}
		ids = append(ids, all...)
	}
	if s.leases, s.leasesErr = s.source.Leases(ctx, ids, s.target.progress("reading leases")); s.leasesErr != nil {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(s.leases)) {
		if l := s.leases[id]; len(l.Keys) == 0 && !l.Hidden {
			s.emptyLeases = append(s.emptyLeases, l)
		}
	}
	s.findOrphans(ctx)
}

// findOrphans finds the records whose lease doesn't exist. Most of those for which that seems so have gone with it
// since they were read.
func (s *snapshot) findOrphans(ctx context.Context) {
	isOrphan := func(r *fleet.Record) bool {
		_, ok := s.leases[r.Lease]
		return !ok && r.Lease != 0
	}
	if !slices.ContainsFunc(s.fleet.Records, isOrphan) {
		return
	}
	var now *fleet.Fleet
	if now, s.leasesErr = s.source.Read(ctx, s.target.progress("reading records again")); s.leasesErr != nil {
		return
	}
	left := make(map[string]*fleet.Record, len(now.Records))
	for _, r := range now.Records {
		left[r.Key] = r
	}
	for _, r := range s.fleet.Records {
		if l := left[r.Key]; isOrphan(r) && l != nil && l.Lease == r.Lease {
			s.orphans = append(s.orphans, r)
		}
	}
}

// allLeases returns none where the user may not see them all.
func (s *snapshot) allLeases(ctx context.Context) ([]clientv3.LeaseID, error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), s.target.timeout())
	defer cancel()
	answer, err := s.source.Client.Leases(ctx)
	switch {
	case isDenied(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("list leases: %w", err)
	}
	var ids []clientv3.LeaseID
	for _, l := range answer.Leases {
		ids = append(ids, l.ID)
	}
	return ids, nil
}

// isSkipped reports whether a member may well run, but has no URL that was asked.
func (s *snapshot) isSkipped(m *pb.Member) bool {
	return len(m.ClientURLs) > 0 && !slices.ContainsFunc(
		m.ClientURLs, func(url string) bool { return !slices.Contains(s.skipped, url) },
	)
}

// reachedByID returns the members that were reached, by id.
func (s *snapshot) reachedByID() map[uint64]member {
	reached := make(map[uint64]member)
	for _, m := range s.members {
		if m.err == nil {
			reached[m.id] = m
		}
	}
	return reached
}

// reached returns the members that were reached, each once, sorted by id.
func (s *snapshot) reached() []member {
	reached := s.reachedByID()
	var members []member
	for _, id := range slices.Sorted(maps.Keys(reached)) {
		members = append(members, reached[id])
	}
	return members
}

func (s *snapshot) versions() []string {
	seen := make(map[string]bool)
	for _, m := range s.reached() {
		seen[m.status.Version] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func isDenied(err error) bool { return errors.Is(err, rpctypes.ErrPermissionDenied) }

// name names a member that was reached.
func (s *snapshot) name(m member) string {
	for _, listed := range s.memberList {
		if listed.ID == m.id && listed.Name != "" {
			return fmt.Sprintf("%s (%s)", short(listed.Name), m.address)
		}
	}
	return m.address
}

// byService returns the records that are none of the malformed ones, by service name.
func (s *snapshot) byService() map[string][]*fleet.Record {
	services := make(map[string][]*fleet.Record)
	for _, r := range s.records() {
		if r.Service != nil {
			services[r.Service.Name] = append(services[r.Service.Name], r)
		}
	}
	return services
}

// stored returns all keys.
func (s *snapshot) stored() []*fleet.Record {
	if s.fleet == nil {
		return nil
	}
	return s.fleet.Records
}

// records returns all keys but for notices.
func (s *snapshot) records() []*fleet.Record {
	var records []*fleet.Record
	for _, r := range s.stored() {
		if !r.IsNotice() {
			records = append(records, r)
		}
	}
	return records
}

// outOfService returns the notices of nodes that are out of service.
func (s *snapshot) outOfService() []*fleet.Record {
	if s.fleet == nil {
		return nil
	}
	return s.fleet.OutOfService()
}
