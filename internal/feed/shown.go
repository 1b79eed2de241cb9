package feed

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// Shown is what lookups have shown to callers in the last minute, whatever they were answered from: a feed, that of
// everything, or elsewhere. A watcher that comes after a lookup is told how it differs from what there is now, and who
// watches a feed that is filled anew how it differs from that. So what was shown and is gone is told as deleted, even
// if the feed in question has never known it.
//
// A caller may have seen any state that a node was in since the first of these lookups. So a node that has changed
// since is told in any case: what was shown last is no measure then.
type Shown struct {
	mu        sync.Mutex
	services  map[string]*shownService
	whole     time.Time // of the last lookup of all services: what isn't in services was not there; zero for none
	forgotten time.Time // of the last lookup of a service that isn't remembered any more
}

// shownTime is how long after a lookup a watcher may come and still be told what changed since. go-micro's cache takes
// up to ten seconds (registry/cache/cache.go, run).
const shownTime = time.Minute

// shownService is one service as it was shown last.
type shownService struct {
	dir      string
	last     time.Time // of the last lookup
	kept     int       // feeds that may show it at any moment, without saying so
	by       any       // the feed that has exactly this; its changes are taken over; nil if a caller got it from elsewhere
	versions map[string]*shownVersion
}

type shownVersion struct {
	profile *catalog.Profile
	changed time.Time // after an earlier lookup; zero for not lately
	nodes   map[string]*shownNode
}

type shownNode struct {
	record  *catalog.Record // the last one, also of a node that is gone
	gone    bool
	fresh   bool      // it came after a lookup that didn't show it
	changed time.Time // as of a version
}

// NewShown returns one that remembers nothing yet.
func NewShown() *Shown { return &Shown{services: make(map[string]*shownService)} }

// Look takes note that a lookup of a service shows what there is in a catalog: that of a feed, or one that is read for
// the purpose. A feed that keeps what it shows has to release it.
func (s *Shown) Look(name, dir string, c *catalog.Catalog, by any, keeps bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	service := s.lookLocked(name, dir, c, by, time.Now())
	if keeps {
		service.kept++
	}
}

func (s *Shown) lookLocked(name, dir string, c *catalog.Catalog, by any, now time.Time) *shownService {
	service := s.services[name]
	known := service != nil
	if !known {
		service = &shownService{dir: dir, versions: make(map[string]*shownVersion)}
		s.services[name] = service
	}
	if !known || by == nil || service.by != by {
		service.compare(name, c, now, known || !s.whole.IsZero())
		service.by = by
	}
	service.last = now
	return service
}

// LookWhole takes note that a lookup shows all there is in a catalog.
func (s *Shown) LookWhole(dirOf func(service string) string, c *catalog.Catalog, by any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	names := make(map[string]bool)
	for r := range c.Records {
		names[r.Name] = true
	}
	for name := range s.services {
		names[name] = true
	}
	for name := range names {
		s.lookLocked(name, dirOf(name), c, by, now)
	}
	s.whole = now
}

// release says that a feed doesn't show what it kept any more.
func (s *Shown) release(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if service := s.services[name]; service != nil {
		service.kept--
		service.last = time.Now()
	}
}

// follow takes over the changes of a feed where a lookup has shown what that had.
func (s *Shown) follow(by any, changes []catalog.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, c := range changes {
		if service := s.services[c.Record.Name]; service != nil && service.by == by {
			service.set(c, now, true)
		}
	}
}

// compare takes over what a lookup shows. again says that there was another one lately, also of a service without
// nodes.
func (s *shownService) compare(name string, c *catalog.Catalog, now time.Time, again bool) {
	for _, v := range s.versions {
		for id, n := range v.nodes {
			if known, ok := c.Node(name, id); !n.gone && (!ok || known.Record.Version != n.record.Version) {
				s.set(catalog.Change{Action: catalog.Delete, Record: n.record}, now, again)
			}
		}
	}
	c.Nodes(name, func(node catalog.Change) bool {
		s.set(node, now, again)
		return true
	})
}

// set takes in a node as it was shown, or as it has become since.
func (s *shownService) set(c catalog.Change, now time.Time, again bool) {
	v := s.versions[c.Record.Version]
	if v == nil {
		v = &shownVersion{profile: c.Profile, nodes: make(map[string]*shownNode)}
		s.versions[c.Record.Version] = v
	}
	id := c.Record.Node.Id
	n := v.nodes[id]
	if c.Action == catalog.Delete {
		if n != nil && !n.gone {
			n.record, n.gone = c.Record, true
			n.changed = now
		}
		return
	}
	if v.profile == nil || !v.profile.Equal(c.Profile) {
		v.changed = now
	}
	v.profile = c.Profile
	switch {
	case n == nil:
		n = &shownNode{fresh: again}
		v.nodes[id] = n
		if again {
			n.changed = now
		}
	case n.gone || !n.record.Node.Equal(c.Record.Node):
		n.changed = now
	}
	n.record, n.gone = c.Record, false
}

// differences is what takes whoever has seen something of the services below a prefix to what a catalog has: everything
// that was shown differently or has changed since.
func (s *Shown) differences(prefix string, c *catalog.Catalog) []catalog.Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	var d differences
	for name, service := range s.services {
		if strings.HasPrefix(service.dir, prefix) {
			d.add(name, service, c)
		}
	}
	if !s.whole.IsZero() { // what wasn't there then is in no service
		for r := range c.Records {
			if node, ok := c.Node(r.Name, r.Node.Id); ok && node.Record == r && s.services[r.Name] == nil {
				d.news = append(d.news, catalog.Change{Action: catalog.Create, Record: r, Profile: node.Profile})
			}
		}
	}
	return d.sorted()
}

type differences struct{ deletes, news []catalog.Change }

func (d *differences) add(name string, s *shownService, c *catalog.Catalog) {
	told := make(map[string]bool) // versions
	c.Nodes(name, func(now catalog.Change) bool {
		var n *shownNode
		if v := s.versions[now.Record.Version]; v != nil {
			n = v.nodes[now.Record.Node.Id]
		}
		if n == nil || n.gone || !n.changed.IsZero() || !n.record.Node.Equal(now.Record.Node) {
			if n == nil || n.gone || n.fresh {
				now.Action = catalog.Create
			}
			told[now.Record.Version] = true
			d.news = append(d.news, now)
		}
		return true
	})
	for version, v := range s.versions {
		for id, n := range v.nodes {
			now, ok := c.Node(name, id)
			if (!ok || now.Record.Version != version) && (!n.gone || !n.changed.IsZero()) {
				d.deletes = append(d.deletes, catalog.Change{Action: catalog.Delete, Record: n.record, Profile: n.record.Profile})
			}
		}
		lead, ok := c.Lead(name, version)
		if ok && !told[version] && (!v.changed.IsZero() || !v.profile.Equal(lead.Profile)) {
			d.news = append(d.news, lead)
		}
	}
}

// sorted returns the deletes first: of a node that moves to another version that of the old one has to be told before.
func (d *differences) sorted() []catalog.Change {
	byKey := func(a, b catalog.Change) int { return strings.Compare(a.Record.Key, b.Record.Key) }
	slices.SortFunc(d.deletes, byKey)
	slices.SortFunc(d.news, byKey)
	return append(d.deletes, d.news...)
}

// Remembered returns how many services there are, and how many nodes of the given one.
func (s *Shown) Remembered(service string) (services, nodes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.services[service]; known != nil {
		for _, v := range known.versions {
			nodes += len(v.nodes)
		}
	}
	return len(s.services), nodes
}

// seen reports whether a lookup may have shown a node that came at a time. It errs on the safe side: a feed may be a
// little behind others.
func (s *Shown) seen(name string, came time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.forgotten
	if service := s.services[name]; service != nil {
		last = service.last
	}
	if last.Before(s.whole) {
		last = s.whole
	}
	return !last.Add(shownTime).Before(came)
}

// Sweep forgets what is old, but for what somebody holds.
func (s *Shown) Sweep(held func(dir string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := time.Now().Add(-shownTime)
	if s.whole.Before(before) && !held("") {
		if s.forgotten.Before(s.whole) {
			s.forgotten = s.whole
		}
		s.whole = time.Time{}
	}
	for name, service := range s.services {
		switch {
		case held(service.dir):
		case service.kept > 0 || !service.last.Before(before):
			service.forget(before)
		default:
			delete(s.services, name)
			if s.forgotten.Before(service.last) {
				s.forgotten = service.last
			}
		}
	}
}

func (s *shownService) forget(before time.Time) {
	for version, v := range s.versions {
		v.changed = since(v.changed, before)
		for id, n := range v.nodes {
			if n.changed = since(n.changed, before); n.changed.IsZero() {
				n.fresh = false
				if n.gone {
					delete(v.nodes, id)
				}
			}
		}
		if len(v.nodes) == 0 {
			delete(s.versions, version)
		}
	}
}

// since returns a time unless it is before another one, and else zero.
func since(t, before time.Time) time.Time {
	if t.Before(before) {
		return time.Time{}
	}
	return t
}
