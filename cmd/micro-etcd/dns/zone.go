package dns

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// settleTime is how long nodes stay that are missing after etcd's data was wiped or restored: go-micro's services
// register every 30 seconds, unless they are told otherwise (server.DefaultRegisterInterval).
const settleTime = 30 * time.Second

// Zone is what is registered, by name; that is the same for all domains. Its methods may be called concurrently.
type Zone struct {
	mu       sync.RWMutex
	catalog  *catalog.Catalog
	services map[string]*service
	names    map[name]*place
	addrs    map[netip.Addr]int // of how many services

	state   state
	listed  bool            // etcd has told all that there is
	cluster uint64          // etcd's id
	missing map[string]bool // keys that are gone from etcd, and may come back until settled
	settled time.Time
}

// state is how current a zone is.
type state struct {
	ready    bool      // something is known, from etcd or from a file
	stale    time.Time // since when it may be out of date; zero if it isn't
	revision int64     // etcd's
}

// freshness is what a state means for who asks.
type freshness int

const (
	fresh   freshness = iota
	stale             // out of date, maybe, but good enough
	expired           // out of date for too long
	unknown           // nothing is known
)

// freshness returns it for a time and a limit, which is 0 for none.
func (s state) freshness(now time.Time, maxStale time.Duration) freshness {
	switch {
	case !s.ready:
		return unknown
	case s.stale.IsZero():
		return fresh
	case maxStale > 0 && now.Sub(s.stale) > maxStale:
		return expired
	}
	return stale
}

// place is a name of services, or above one.
type place struct {
	services []*service // whose name it is
	dashed   []*service // for which it stands with "-" for "/", which no host's name can have
	below    int        // how many names are below it
}

// NewZone returns one that knows nothing yet.
func NewZone() *Zone {
	z := &Zone{state: state{stale: time.Now()}}
	z.clearLocked()
	return z
}

func (z *Zone) clearLocked() {
	z.catalog = catalog.New()
	z.services = make(map[string]*service)
	z.names = make(map[name]*place)
	z.addrs = make(map[netip.Addr]int)
	z.missing = make(map[string]bool)
}

// Take takes in what [fleet.Source.Follow] tells.
func (z *Zone) Take(events []fleet.Event) {
	z.mu.Lock()
	defer z.mu.Unlock()
	last := events[len(events)-1]
	if last.Kind == fleet.Disconnected {
		if z.state.stale.IsZero() {
			z.state.stale = last.At
		}
		return
	}
	if !z.listed {
		z.clearLocked() // of what a file had: a list is all there is
	}
	changed := make(map[string]bool)
	for _, e := range events {
		z.takeLocked(e, last.Rewritten, changed)
	}
	z.state.revision = last.Revision
	if last.Kind == fleet.Connected {
		z.listed, z.cluster = true, last.Cluster
		z.state.ready, z.state.stale = true, time.Time{}
		if last.Rewritten {
			z.settled = last.At.Add(settleTime)
		}
	}
	z.publishLocked(changed)
}

func (z *Zone) takeLocked(e fleet.Event, rewritten bool, changed map[string]bool) {
	if r := e.Before; isRecord(r) {
		changed[r.Service.Name] = true
		if rewritten {
			z.missing[r.Key] = true
		} else {
			z.catalog.Delete(r.Key)
		}
	}
	if r := e.Record; r != nil {
		z.removeLocked(r.Key, changed)
		if isRecord(r) {
			z.catalog.Put(r.CatalogRecord())
			changed[r.Service.Name] = true
		}
	}
}

// removeLocked removes what was missing at a key, which isn't any more.
func (z *Zone) removeLocked(key string, changed map[string]bool) {
	if z.missing[key] {
		delete(z.missing, key)
		changed[z.catalog.Record(key).Name] = true
		z.catalog.Delete(key)
	}
}

func isRecord(r *fleet.Record) bool { return r != nil && r.Service != nil && !r.IsNotice() }

// Load takes what a file has, unless etcd has told something.
func (z *Zone) Load(all []*catalog.Record, asOf time.Time) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.listed {
		return
	}
	z.state.ready, z.state.stale = true, asOf
	changed := make(map[string]bool)
	for _, r := range all {
		z.catalog.Put(r)
		changed[r.Name] = true
	}
	z.publishLocked(changed)
}

// settle forgets what didn't come back in time after etcd's data was wiped.
func (z *Zone) settle(now time.Time) {
	z.mu.RLock()
	due := len(z.missing) > 0 && now.After(z.settled)
	z.mu.RUnlock()
	if !due {
		return
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	changed := make(map[string]bool)
	for key := range z.missing {
		z.removeLocked(key, changed)
	}
	z.publishLocked(changed)
}

// publishLocked makes the names right of services that have changed.
func (z *Zone) publishLocked(changed map[string]bool) {
	for service := range changed {
		if old := z.services[service]; old != nil {
			z.enterLocked(old, -1)
			delete(z.services, service)
		}
		if snapshot := z.catalog.Snapshot(service); snapshot != nil {
			z.services[service] = newService(snapshot)
			z.enterLocked(z.services[service], 1)
		}
	}
}

// enterLocked enters a service at its names and addresses, or with -1 takes it from there.
func (z *Zone) enterLocked(s *service, by int) {
	if s.own != "" {
		p := z.placeLocked(s.own)
		p.services = enter(p.services, s, by)
		z.countLocked(s.own, by)
	}
	if s.dashed != "" {
		p := z.placeLocked(s.dashed)
		p.dashed = enter(p.dashed, s, by)
		z.countLocked(s.dashed, by)
	}
	for _, addr := range slices.Concat(s.nodes.v4, s.nodes.v6) {
		if z.addrs[addr] += by; z.addrs[addr] == 0 {
			delete(z.addrs, addr)
		}
	}
}

func enter(all []*service, s *service, by int) []*service {
	if by > 0 {
		return append(all, s)
	}
	return slices.DeleteFunc(all, func(other *service) bool { return other == s })
}

func (z *Zone) placeLocked(n name) *place {
	p := z.names[n]
	if p == nil {
		p = &place{}
		z.names[n] = p
	}
	return p
}

// countLocked counts a name at those above it, and forgets those that stand for nothing any more.
func (z *Zone) countLocked(n name, by int) {
	for parent := range n.parents {
		z.placeLocked(parent).below += by
		z.forgetLocked(parent)
	}
	z.forgetLocked(n)
}

func (z *Zone) forgetLocked(n name) {
	if p := z.names[n]; len(p.services) == 0 && len(p.dashed) == 0 && p.below == 0 {
		delete(z.names, n)
	}
}
