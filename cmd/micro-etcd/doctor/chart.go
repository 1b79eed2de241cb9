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

// chart is what was gathered. Examinations only read it.
type chart struct {
	patient   Patient
	addresses []string // as the registry has them

	visits  []visit      // of the addresses, and then of members that weren't met there
	members []*pb.Member // nil if nobody told
	avoided []string     // members' URLs that weren't visited, because they are plain

	connection error // why there is no client for what follows
	lookUp     error // what a lookup returned
	mayRead    error
	mayWrite   error

	source   fleet.Source
	fleet    *fleet.Fleet // nil if it couldn't be read
	fleetErr error        // why
	leases   map[clientv3.LeaseID]fleet.Lease
	unasked  error // why leases aren't known
	empty    []fleet.Lease
}

// open makes a registry as the patient's processes do.
func (p *Patient) open(addresses []string) (*etcd.Registry, error) {
	opts := append(slices.Clone(p.Options), registry.Timeout(p.timeout()))
	if p.Prefix != "" {
		opts = append(opts, etcd.Prefix(p.Prefix))
	}
	if len(addresses) > 0 {
		opts = append(opts, registry.Addrs(addresses...))
	}
	return etcd.New(opts...)
}

func gather(ctx context.Context, p Patient) (*chart, error) {
	r, err := p.open(p.Addresses)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // nothing is registered with it
	c := &chart{
		patient:   p,
		addresses: r.Status().Endpoints,
		source:    fleet.Source{Prefix: p.Prefix, Service: p.Service, Timeout: p.timeout()},
	}
	c.visits = c.visit(ctx, c.addresses)
	c.askMembers(ctx)
	if slices.ContainsFunc(c.visits, func(v visit) bool { return v.err == nil }) {
		c.source.Client, c.connection = r.Client(ctx)
		if c.connection == nil {
			c.ask(ctx, r)
		}
	} else {
		c.connection = c.visits[0].err
	}
	return c, context.Cause(ctx)
}

// maxVisits bounds the visits under way.
const maxVisits = 8

// visit goes to each address on its own.
func (c *chart) visit(ctx context.Context, addresses []string) []visit {
	visits := make([]visit, len(addresses))
	_ = c.patient.progress("visiting members").Each(ctx, len(addresses), maxVisits, func(ctx context.Context, i int) error {
		visits[i] = c.patient.visit(ctx, addresses[i])
		return nil // a member that can't be visited is a finding
	})
	return visits
}

// askMembers asks whoever answers for the members, and visits those that weren't met yet. A visit
// brings the user's password along, so it goes to a plain URL only if the addresses are plain, too.
func (c *chart) askMembers(ctx context.Context) {
	met := make(map[uint64]bool)
	for _, v := range c.visits {
		if v.err != nil {
			continue
		}
		met[v.member] = true
		if c.members == nil {
			c.members = v.members
		}
	}
	plain := slices.ContainsFunc(c.addresses, func(address string) bool { return strings.HasPrefix(address, "http://") })
	var addresses []string
	for _, m := range c.members {
		for _, url := range m.ClientURLs {
			switch {
			case met[m.ID] || slices.Contains(c.addresses, url):
			case plain || strings.HasPrefix(url, "https://") || strings.HasPrefix(url, "unixs://"):
				addresses = append(addresses, url)
			default:
				c.avoided = append(c.avoided, url)
			}
		}
	}
	c.visits = append(c.visits, c.visit(ctx, addresses)...)
}

// ask does what a plugin does, and reads what it keeps.
func (c *chart) ask(ctx context.Context, r *etcd.Registry) {
	if c.patient.Service != "" {
		_, c.lookUp = r.GetService(c.patient.Service, registry.GetContext(ctx))
		if errors.Is(c.lookUp, registry.ErrNotFound) {
			c.lookUp = nil
		}
	} else {
		_, c.lookUp = r.ListServices(registry.ListContext(ctx))
	}
	if c.lookUp != nil && !isDenied(c.lookUp) {
		return // the rest would only wait for the same
	}
	c.mayRead, c.mayWrite = c.permitted(ctx)
	if c.fleet, c.fleetErr = c.source.Read(ctx, c.patient.progress("reading records")); c.fleetErr == nil {
		c.askLeases(ctx)
	}
}

// permitted finds out what the user may do, without writing anything: etcd checks permissions for both
// branches of a transaction (server/v3 etcdserver/apply/apply_auth.go, checkTxnPermission), and never
// takes Else when there is nothing to compare.
func (c *chart) permitted(ctx context.Context) (read, write error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), c.patient.timeout())
	defer cancel()
	_, read = c.source.Client.Get(ctx, c.source.Dir(), clientv3.WithPrefix(), clientv3.WithLimit(1), clientv3.WithKeysOnly())
	never := clientv3.OpPut(c.source.Dir()+"micro-etcd-doctor", "")
	_, write = c.source.Client.Txn(ctx).Else(never).Commit()
	return read, write
}

// askLeases asks for those of the records, and for those that no key hangs on.
func (c *chart) askLeases(ctx context.Context) {
	var ids []clientv3.LeaseID
	for _, r := range c.fleet.Records {
		ids = append(ids, r.Lease)
	}
	if c.patient.Service == "" {
		ids = append(ids, c.allLeases(ctx)...)
	}
	c.leases, c.unasked = c.source.Leases(ctx, ids, c.patient.progress("reading leases"))
	for _, id := range slices.Sorted(maps.Keys(c.leases)) {
		if l := c.leases[id]; len(l.Keys) == 0 && !l.Hidden {
			c.empty = append(c.empty, l)
		}
	}
}

// allLeases returns none where the user may not see them all.
func (c *chart) allLeases(ctx context.Context) []clientv3.LeaseID {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), c.patient.timeout())
	defer cancel()
	answer, err := c.source.Client.Leases(ctx)
	if err != nil {
		if !errors.Is(err, rpctypes.ErrPermissionDenied) {
			c.unasked = fmt.Errorf("list leases: %w", err)
		}
		return nil
	}
	var ids []clientv3.LeaseID
	for _, l := range answer.Leases {
		ids = append(ids, l.ID)
	}
	return ids
}

// isAvoided reports whether a member may well run, but has no URL that was visited.
func (c *chart) isAvoided(m *pb.Member) bool {
	return len(m.ClientURLs) > 0 && !slices.ContainsFunc(m.ClientURLs, func(url string) bool { return !slices.Contains(c.avoided, url) })
}

// reached returns the ids of the members that were met.
func (c *chart) reached() map[uint64]visit {
	met := make(map[uint64]visit)
	for _, v := range c.visits {
		if v.err == nil {
			met[v.member] = v
		}
	}
	return met
}

// met returns the members that were met, each once, by id.
func (c *chart) met() []visit {
	reached := c.reached()
	var visits []visit
	for _, id := range slices.Sorted(maps.Keys(reached)) {
		visits = append(visits, reached[id])
	}
	return visits
}

func (c *chart) versions() []string {
	seen := make(map[string]bool)
	for _, v := range c.met() {
		seen[v.status.Version] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// name says which member a visit met.
func (c *chart) name(v visit) string {
	for _, m := range c.members {
		if m.ID == v.member && m.Name != "" {
			return fmt.Sprintf("%s (%s)", short(m.Name), v.address)
		}
	}
	return v.address
}

// byService returns the records that are none of the malformed ones, by service name.
func (c *chart) byService() map[string][]*fleet.Record {
	services := make(map[string][]*fleet.Record)
	for _, r := range c.records() {
		if r.Service != nil {
			services[r.Service.Name] = append(services[r.Service.Name], r)
		}
	}
	return services
}

func (c *chart) records() []*fleet.Record {
	if c.fleet == nil {
		return nil
	}
	return c.fleet.Records
}
