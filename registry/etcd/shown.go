package etcd

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// shown is what look-ups have shown to callers in the last minute, whatever they were answered from: a view, the view
// of everything, or etcd. A watcher that comes after a look-up is told how it differs from what there is now, and a
// view that lists again how it differs from the list. So what was shown and is gone is told as deleted, even if the
// view in question has never known it.
//
// A caller may have seen any state that a node was in since the first of these look-ups. So a node that has changed
// since is told in any case: what was shown last is no measure then.
type shown struct {
	mu        sync.Mutex
	services  map[string]*shownService
	whole     time.Time // of the last look-up of all services: what isn't in services was not there; zero for none
	forgotten time.Time // of the last look-up of a service that isn't remembered any more
}

// shownTime is how long after a look-up a watcher may come and still be told what changed since. go-micro's cache takes
// up to ten seconds (registry/cache/cache.go, run).
const shownTime = time.Minute

// shownService is one service as it was shown last.
type shownService struct {
	dir      string
	last     time.Time // of the last look-up
	kept     int       // views that may show it at any moment, without saying so
	by       *mirror   // that has exactly this; its changes are taken over; nil if a caller got it from elsewhere
	versions map[string]*shownVersion
}

type shownVersion struct {
	profile *catalogue.Profile
	shownAt
	nodes map[string]*shownNode
}

type shownNode struct {
	record *catalogue.Record // the last one, also of a node that is gone
	gone   bool
	fresh  bool // it came after a look-up that didn't show it
	shownAt
}

// shownAt is when something became different from what an earlier look-up has shown; zero for not lately.
type shownAt struct {
	changed   time.Time // whoever found that out
	disagreed time.Time // a look-up did: one view doesn't know what another one has shown
}

func (a *shownAt) differs(now time.Time, looked bool) {
	a.changed = now
	if looked {
		a.disagreed = now
	}
}

func newShown() *shown { return &shown{services: make(map[string]*shownService)} }

// look takes note that a look-up of a service shows what there is in a catalogue: that of a view, or one that is read
// for the purpose. A view that keeps what it shows has to release it. news says that it may be another state than what
// was shown last, and what became of that.
func (s *shown) look(name, dir string, c *catalogue.Catalogue, by *mirror, keeps bool) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	service, news := s.lookLocked(name, dir, c, by, time.Now())
	if keeps {
		service.kept++
	}
	return news
}

func (s *shown) lookLocked(name, dir string, c *catalogue.Catalogue, by *mirror, now time.Time) (service *shownService, news bool) {
	service = s.services[name]
	known := service != nil
	if !known {
		service = &shownService{dir: dir, versions: make(map[string]*shownVersion)}
		s.services[name] = service
	}
	service.last = now
	if known && by != nil && service.by == by {
		return service, false
	}
	service.compare(name, c, now, known || !s.whole.IsZero())
	service.by = by
	return service, true
}

// lookWhole takes note that a look-up shows all there is in a catalogue.
func (s *shown) lookWhole(keys keyspace, c *catalogue.Catalogue, by *mirror) (news bool) {
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
	news = by == nil || s.whole.IsZero()
	for name := range names {
		_, other := s.lookLocked(name, keys.dir(name), c, by, now)
		news = news || other
	}
	s.whole = now
	return news
}

// release says that a view doesn't show what it kept any more.
func (s *shown) release(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if service := s.services[name]; service != nil {
		service.kept--
		service.last = time.Now()
	}
}

// follow takes over the changes of a view where a look-up has shown what that had.
func (s *shown) follow(by *mirror, changes []catalogue.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, c := range changes {
		if service := s.services[c.Record.Name]; service != nil && service.by == by {
			service.set(c, now, true, false)
		}
	}
}

// compare takes over what a look-up shows. again says that there was another one lately, also of a service without nodes.
func (s *shownService) compare(name string, c *catalogue.Catalogue, now time.Time, again bool) {
	for _, v := range s.versions {
		for id, n := range v.nodes {
			if known, ok := c.Node(name, id); !n.gone && (!ok || known.Record.Version != n.record.Version) {
				s.set(catalogue.Change{Action: catalogue.Delete, Record: n.record}, now, again, true)
			}
		}
	}
	c.Nodes(name, func(node catalogue.Change) bool {
		s.set(node, now, again, true)
		return true
	})
}

// set takes in a node as it was shown, or as it has become since.
func (s *shownService) set(c catalogue.Change, now time.Time, again, looked bool) {
	v := s.versions[c.Record.Version]
	if v == nil {
		v = &shownVersion{profile: c.Profile, nodes: make(map[string]*shownNode)}
		s.versions[c.Record.Version] = v
	}
	id := c.Record.Node.Id
	n := v.nodes[id]
	if c.Action == catalogue.Delete {
		if n != nil && !n.gone {
			n.record, n.gone = c.Record, true
			n.differs(now, looked)
		}
		return
	}
	if v.profile == nil || !v.profile.Equal(c.Profile) {
		v.differs(now, looked)
	}
	v.profile = c.Profile
	switch {
	case n == nil:
		n = &shownNode{fresh: again}
		v.nodes[id] = n
		if again {
			n.differs(now, looked)
		}
	case n.gone || !sameNode(n.record, c.Record):
		n.differs(now, looked)
	}
	n.record, n.gone = c.Record, false
}

// sameNode reports whether two records of one version show the same node.
func sameNode(a, b *catalogue.Record) bool {
	return a.Node == b.Node || a.Node.Address == b.Node.Address && maps.Equal(a.Node.Metadata, b.Node.Metadata)
}

// differences is what takes whoever has seen something of the services below a prefix to what a catalogue has. Of all
// who have looked that is everything that was shown differently or has changed since. For the watchers of a view,
// which have heard of its changes, it is what the view doesn't know.
// With missing, whoever has seen all services may lack some.
func (s *shown) differences(prefix string, c *catalogue.Catalogue, watched, missing bool) []catalogue.Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	var d differences
	for name, service := range s.services {
		if strings.HasPrefix(service.dir, prefix) {
			d.add(name, service, c, watched)
		}
	}
	if !s.whole.IsZero() && missing {
		for r := range c.Records {
			if node, ok := c.Node(r.Name, r.Node.Id); ok && node.Record == r && s.services[r.Name] == nil {
				d.news = append(d.news, catalogue.Change{Action: catalogue.Create, Record: r, Profile: node.Profile})
			}
		}
	}
	return d.sorted()
}

// differencesOf is differences for the watchers of a view, of one service.
func (s *shown) differencesOf(name string, c *catalogue.Catalogue) []catalogue.Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	var d differences
	if service := s.services[name]; service != nil {
		d.add(name, service, c, true)
	}
	return d.sorted()
}

type differences struct{ deletes, news []catalogue.Change }

func (d *differences) add(name string, s *shownService, c *catalogue.Catalogue, watched bool) {
	told := make(map[string]bool) // versions
	c.Nodes(name, func(now catalogue.Change) bool {
		var n *shownNode
		if v := s.versions[now.Record.Version]; v != nil {
			n = v.nodes[now.Record.Node.Id]
		}
		if n == nil || n.gone || n.lately(watched) || !sameNode(n.record, now.Record) {
			if n == nil || n.gone || n.fresh {
				now.Action = catalogue.Create
			}
			told[now.Record.Version] = true
			d.news = append(d.news, now)
		}
		return true
	})
	for version, v := range s.versions {
		for id, n := range v.nodes {
			now, ok := c.Node(name, id)
			if (!ok || now.Record.Version != version) && (!n.gone || n.lately(watched)) {
				d.deletes = append(d.deletes, catalogue.Change{Action: catalogue.Delete, Record: n.record, Profile: n.record.Profile})
			}
		}
		lead, ok := c.Lead(name, version)
		if ok && !told[version] && (v.lately(watched) || !v.profile.Equal(lead.Profile)) {
			d.news = append(d.news, lead)
		}
	}
}

func (a *shownAt) lately(watched bool) bool {
	if watched {
		return !a.disagreed.IsZero()
	}
	return !a.changed.IsZero()
}

// sorted returns the deletes first: of a node that moves to another version that of the old one has to be told before.
func (d *differences) sorted() []catalogue.Change {
	byKey := func(a, b catalogue.Change) int { return strings.Compare(a.Record.Key, b.Record.Key) }
	slices.SortFunc(d.deletes, byKey)
	slices.SortFunc(d.news, byKey)
	return append(d.deletes, d.news...)
}

// seen reports whether a look-up may have shown a node that came at a time. It errs on the safe side: a view may be a
// little behind others.
func (s *shown) seen(name string, came time.Time) bool {
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

// sweep forgets what is old, but for what somebody holds.
func (s *shown) sweep(held func(dir string) bool) {
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
		v.forget(before)
		for id, n := range v.nodes {
			if n.forget(before); n.changed.IsZero() {
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

func (a *shownAt) forget(before time.Time) {
	if a.changed.Before(before) {
		a.changed = time.Time{}
	}
	if a.disagreed.Before(before) {
		a.disagreed = time.Time{}
	}
}
