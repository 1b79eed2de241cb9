package catalog

import (
	"maps"
	"slices"
)

// Catalog folds records into services and says what each step changed. The zero value is not usable: call [New].
type Catalog struct {
	records  map[string]*Record // by key
	services map[string]*service
}

// New returns an empty catalog.
func New() *Catalog {
	return &Catalog{records: make(map[string]*Record), services: make(map[string]*service)}
}

// Put adds the record, or replaces the one with the same key whatever its revision, and returns what that changed. A
// record that was written again is reported as an update even if it says the same.
func (c *Catalog) Put(r *Record) []Change {
	return c.put(r, true)
}

// Restate is Put for a record that was read again: what was known is not reported, and stays the same value.
func (c *Catalog) Restate(r *Record) []Change {
	if old := c.records[r.Key]; old != nil && old.Revision == r.Revision && old.Lease == r.Lease && old.Equal(r) {
		return nil
	}
	return c.put(r, false)
}

func (c *Catalog) put(r *Record, report bool) []Change {
	old := c.records[r.Key]
	var changes []Change
	if old != nil && (old.Name != r.Name || old.Node.Id != r.Node.Id) {
		changes = c.Delete(r.Key)
		old = nil
	}
	s := c.services[r.Name]
	if s == nil {
		s = newService()
		c.services[r.Name] = s
	}
	c.records[r.Key] = r
	return append(changes, s.replace(r.Node.Id, old, r, report)...)
}

// Delete removes the record with the key and returns what that changed. A record of the same node under another key
// takes its place.
func (c *Catalog) Delete(key string) []Change {
	r := c.records[key]
	if r == nil {
		return nil
	}
	delete(c.records, key)
	s := c.services[r.Name]
	changes := s.replace(r.Node.Id, r, nil, true)
	if len(s.nodes) == 0 {
		delete(c.services, r.Name)
	}
	return changes
}

// Record returns the record with the key, or nil.
func (c *Catalog) Record(key string) *Record { return c.records[key] }

// Node returns a node as it is now, as an update, if there is one with the id.
func (c *Catalog) Node(name, id string) (Change, bool) {
	s := c.services[name]
	if s == nil || s.nodes[id] == nil {
		return Change{}, false
	}
	r := s.nodes[id]
	return Change{Action: Update, Record: r, Profile: s.profile(r.Version)}, true
}

// Lead returns the node that gives a version its profile, as an update, if there is one.
func (c *Catalog) Lead(name, version string) (Change, bool) {
	s := c.services[name]
	if s == nil || s.versions[version] == nil {
		return Change{}, false
	}
	r := s.lead(version)
	return Change{Action: Update, Record: r, Profile: r.Profile}, true
}

// Nodes calls yield with each node of a service as it is now, as an update, in no order, until it returns false.
func (c *Catalog) Nodes(name string, yield func(Change) bool) {
	s := c.services[name]
	if s == nil {
		return
	}
	for _, r := range s.nodes {
		if !yield(Change{Action: Update, Record: r, Profile: s.profile(r.Version)}) {
			return
		}
	}
}

// Len returns the number of records.
func (c *Catalog) Len() int { return len(c.records) }

// Records calls yield for each record, in no order, until it returns false.
func (c *Catalog) Records(yield func(*Record) bool) {
	for _, r := range c.records {
		if !yield(r) {
			return
		}
	}
}

// Snapshot returns the service with the name, or nil. After a change it takes time linear in the size of the service;
// until the next one the result is kept.
func (c *Catalog) Snapshot(name string) *Snapshot {
	s := c.services[name]
	if s == nil {
		return nil
	}
	if s.snapshot == nil {
		s.snapshot = s.takeSnapshot(name)
	}
	return s.snapshot
}

// Services returns how many there are.
func (c *Catalog) Services() int { return len(c.services) }

// Snapshots returns every service, sorted by name.
func (c *Catalog) Snapshots() []*Snapshot {
	snapshots := make([]*Snapshot, 0, len(c.services))
	for _, name := range slices.Sorted(maps.Keys(c.services)) {
		snapshots = append(snapshots, c.Snapshot(name))
	}
	return snapshots
}
