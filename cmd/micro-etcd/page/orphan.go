package page

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
)

const leasesTime = 30 * time.Second // between two lists of all leases

// findOrphans looks for records on leases that don't exist, as after a damaged restore, until ctx ends. A user that may
// not list leases finds none.
func (p *page) findOrphans(ctx context.Context, source fleet.Source) {
	every(ctx, leasesTime, func() {
		ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), leasesTime)
		defer cancel()
		answer, err := source.Client.Leases(ctx)
		if err != nil {
			p.view.compare(nil)
			return
		}
		there := make(map[clientv3.LeaseID]bool, len(answer.Leases))
		for _, l := range answer.Leases {
			there[l.ID] = true
		}
		p.view.compare(there)
	})
}

// compare finds the records whose lease was missing from the list of all leases before as well: those for which that
// is so for the first time may be about to go with it, or be newer than the list. Without a list, or while the records
// may be out of date, it finds none.
func (v *view) compare(there map[clientv3.LeaseID]bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := there != nil && v.link.connected
	missing := make(map[string]clientv3.LeaseID)
	for _, s := range v.services {
		orphans := make(map[string]bool)
		for key, e := range s.entries {
			id := e.record.Lease
			if !known || id == 0 || there[id] {
				continue
			}
			if missing[key] = id; v.missing[key] == id {
				orphans[key] = true
			}
		}
		if len(orphans) != len(s.orphans) {
			v.dirty[s.name] = struct{}{}
		}
		s.orphans = orphans
	}
	v.missing = missing
}
