package dns

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/cachefile"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// Zone is what is registered, by name; that is the same for all domains. Its methods may be called concurrently.
type Zone struct {
	datacenters map[string]*Zone // what is registered in each, for the names below dc

	writing  sync.Mutex // guards what follows up to mu, which is taken after it, and not for long: queries wait for mu
	catalog  *catalog.Catalog
	missing  map[string]bool // keys that are gone from etcd, and may come back until settled
	settled  atomic.Int64    // in nanoseconds since 1970; 0 if nothing is missing
	listed   bool            // etcd has told all that there is
	cluster  uint64          // etcd's id, or that in a file
	services map[string]*service

	mu    sync.RWMutex // guards the rest
	names map[name]*place
	addrs map[netip.Addr]int // of how many services
	total total
	state state
}

// total counts what there is.
type total struct{ services, nodes, skipped int }

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
	return &Zone{
		catalog: catalog.New(), missing: make(map[string]bool), services: make(map[string]*service),
		names: make(map[name]*place), addrs: make(map[netip.Addr]int), state: state{stale: time.Now()},
	}
}

// NewZones returns a zone for each data center, by its name. The first one's is also that of names without a data
// center.
func NewZones(datacenters ...string) []*Zone {
	first := NewZone()
	first.datacenters = map[string]*Zone{datacenters[0]: first}
	all := []*Zone{first}
	for _, dc := range datacenters[1:] {
		z := NewZone()
		first.datacenters[dc] = z
		all = append(all, z)
	}
	return all
}

// Take takes in what [fleet.Source.Follow] tells.
func (z *Zone) Take(events []fleet.Event) {
	z.writing.Lock()
	defer z.writing.Unlock()
	now := z.current()
	last := events[len(events)-1]
	if last.Kind == fleet.Disconnected {
		if now.stale.IsZero() {
			now.stale = last.At
		}
		z.publishLocked(nil, now)
		return
	}
	changed := make(map[string]bool)
	rewritten := last.Rewritten
	if !z.listed {
		rewritten = z.isOtherLocked(last, now)
		z.forgetLoadedLocked(events, rewritten, changed)
	}
	for _, e := range events {
		z.takeLocked(e, rewritten, changed)
	}
	now.revision = last.Revision
	if last.Kind == fleet.Connected {
		z.listed, z.cluster = true, last.Cluster
		now.ready, now.stale = true, time.Time{}
	}
	if rewritten && len(z.missing) > 0 {
		z.settled.Store(last.At.Add(fleet.SettleTime).UnixNano())
	}
	z.publishLocked(changed, now)
}

// isOtherLocked reports whether the first list is of another etcd than the file that was loaded, or of an earlier time.
func (z *Zone) isOtherLocked(list fleet.Event, file state) bool {
	return file.ready && (list.Cluster != z.cluster || list.Revision < file.revision)
}

// forgetLoadedLocked removes what only the file had: a list is all there is.
func (z *Zone) forgetLoadedLocked(list []fleet.Event, rewritten bool, changed map[string]bool) {
	there := make(map[string]bool, len(list))
	for _, e := range list {
		if e.Record != nil {
			there[e.Record.Key] = true
		}
	}
	for r := range z.catalog.Records {
		if !there[r.Key] {
			z.missing[r.Key] = true
		}
	}
	if !rewritten {
		z.removeMissingLocked(changed)
	}
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
		z.removeLocked(r.Key, changed) // what was missing there isn't any more
		if isRecord(r) {
			z.catalog.Put(r.CatalogRecord())
			changed[r.Service.Name] = true
		}
	}
}

func isRecord(r *fleet.Record) bool { return r != nil && r.Service != nil && !r.IsNotice() }

func (z *Zone) removeMissingLocked(changed map[string]bool) {
	for key := range z.missing {
		z.removeLocked(key, changed)
	}
}

func (z *Zone) removeLocked(key string, changed map[string]bool) {
	delete(z.missing, key)
	if r := z.catalog.Record(key); r != nil {
		changed[r.Name] = true
		z.catalog.Delete(key)
	}
}

// Load takes what a file has, unless etcd has told something.
func (z *Zone) Load(file *cachefile.File, all []*catalog.Record) {
	z.writing.Lock()
	defer z.writing.Unlock()
	if z.listed {
		return
	}
	changed := make(map[string]bool)
	for _, r := range all {
		z.catalog.Put(r)
		changed[r.Name] = true
	}
	z.cluster = file.Cluster
	z.publishLocked(changed, state{ready: true, stale: file.AsOf, revision: file.Revision})
}

// settle forgets what didn't come back in time after etcd's data was wiped.
func (z *Zone) settle(now time.Time) {
	if due := z.settled.Load(); due == 0 || now.UnixNano() <= due || !z.writing.TryLock() {
		return
	}
	defer z.writing.Unlock()
	z.settled.Store(0)
	changed := make(map[string]bool)
	z.removeMissingLocked(changed)
	z.publishLocked(changed, z.current())
}

func (z *Zone) current() state {
	z.mu.RLock()
	defer z.mu.RUnlock()
	return z.state
}

// change is what becomes of a service; nil is none.
type change struct {
	before, after *service
	gone, come    []netip.Addr
}

// publishLocked makes right what is told of services that have changed. What takes long it does before it takes mu.
func (z *Zone) publishLocked(changed map[string]bool, now state) {
	var changes []change
	for name := range changed {
		c := change{before: z.services[name]}
		if snapshot := z.catalog.Snapshot(name); snapshot != nil {
			c.after = newService(snapshot)
			z.services[name] = c.after
		} else {
			delete(z.services, name)
		}
		c.gone, c.come = missingIn(c.after, c.before), missingIn(c.before, c.after)
		changes = append(changes, c)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.state = now
	for _, c := range changes {
		z.applyLocked(c)
	}
}

// missingIn returns the addresses of a service that another one doesn't have.
func missingIn(other, s *service) []netip.Addr {
	if s == nil {
		return nil
	}
	all := slices.Concat(s.nodes.v4, s.nodes.v6)
	return slices.DeleteFunc(all, func(addr netip.Addr) bool { return other != nil && other.nodes.has(addr) })
}

func (z *Zone) applyLocked(c change) {
	z.countLocked(c.before, -1)
	z.countLocked(c.after, 1)
	for _, addr := range c.come {
		z.addrs[addr]++
	}
	for _, addr := range c.gone {
		if z.addrs[addr]--; z.addrs[addr] == 0 {
			delete(z.addrs, addr)
		}
	}
	of := c.after
	if of == nil {
		of = c.before
	}
	if of == nil {
		return
	}
	if of.own != "" {
		p := z.placeLocked(of.own)
		p.services = replace(p.services, c)
		z.trackLocked(of.own, c)
	}
	if of.dashed != "" {
		p := z.placeLocked(of.dashed)
		p.dashed = replace(p.dashed, c)
		z.trackLocked(of.dashed, c)
	}
}

func (z *Zone) countLocked(s *service, by int) {
	if s != nil {
		z.total.services += by
		z.total.nodes += by * s.told
		z.total.skipped += by * s.skipped
	}
}

// replace replaces a service, adds it, or removes it.
func replace(all []*service, c change) []*service {
	i := slices.Index(all, c.before)
	switch {
	case i < 0:
		return append(all, c.after)
	case c.after == nil:
		return slices.Delete(all, i, i+1)
	}
	all[i] = c.after
	return all
}

func (z *Zone) placeLocked(n name) *place {
	p := z.names[n]
	if p == nil {
		p = &place{}
		z.names[n] = p
	}
	return p
}

// trackLocked counts a name at those above it if it is new or gone, and forgets those that stand for nothing any more.
func (z *Zone) trackLocked(n name, c change) {
	by := 0
	switch {
	case c.before == nil:
		by = 1
	case c.after == nil:
		by = -1
	}
	if by == 0 {
		return
	}
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
