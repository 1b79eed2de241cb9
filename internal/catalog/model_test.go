package catalog_test

import (
	"fmt"
	"slices"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// model drives a catalog and an oracle side by side.
type model struct {
	catalog  *catalog.Catalog
	oracle   oracle
	revision int64
	shared   []*catalog.Profile
	points   []point
	changes  []catalog.Change // all since the beginning
}

// point is a moment that a consumer may have started from.
type point struct {
	changes   int // how many there were
	snapshots []*catalog.Snapshot
	services  []string
	cache     cache
}

func newModel() *model {
	m := &model{catalog: catalog.New(), oracle: make(oracle), revision: 10}
	for _, color := range colors {
		m.shared = append(m.shared, profile(color))
	}
	m.startPoint()
	return m
}

func (m *model) startPoint() {
	snapshots := m.catalog.Snapshots()
	m.points = append(m.points, point{len(m.changes), snapshots, m.oracle.services(), newCache(snapshots)})
}

// take does one step and checks everything that can be said after it. Snapshots are looked at only now and then, since
// looking may hide what a step left behind.
func (m *model) take(o op) error {
	was := m.oracle.winners()
	changes, sequences := m.apply(o)
	is, want := m.oracle.winners(), m.oracle.services()

	if o.kind == relist && len(changes) > 0 {
		return fmt.Errorf("restating what is known reported %q", changeStrings(changes))
	}
	for _, c := range changes {
		if err := checkChange(c, was, is, sequences); err != nil {
			return err
		}
	}
	if err := checkOrder(changes, sequences); err != nil {
		return err
	}
	for _, p := range m.points {
		for _, c := range changes {
			p.cache.fold(c)
			if id := p.cache.twice(); id != "" {
				return fmt.Errorf("%q: node %s is in two versions for a moment", changeStrings(changes), id)
			}
		}
		if got := p.cache.services(); !slices.Equal(got, want) {
			return fmt.Errorf("folding all changes since the %dth, now %q, gives %q, want %q",
				p.changes, changeStrings(changes), got, want)
		}
	}
	m.changes = append(m.changes, changes...)
	if o.look {
		return m.checkSnapshots(want)
	}
	return nil
}

// checkChange checks a change by itself. was and is are the records that counted before the step and that count after
// it. Between two sequences a record that is about to go still counts.
func checkChange(c catalog.Change, was, is winners, sequences int) error {
	if c.Record == nil || c.Record.Node == nil || c.Record.Profile == nil || c.Profile == nil {
		return fmt.Errorf("something is nil in %+v", c)
	}
	line := changeString(c)
	old, fresh := was[c.Record.Name][c.Record.Node.Id], is[c.Record.Name][c.Record.Node.Id]
	switch {
	case c.Action == catalog.Delete && (c.Record != old || c.Profile != old.Profile):
		return fmt.Errorf("%q is not what was known last", line)
	case c.Action != catalog.Delete && c.Record != fresh && (sequences == 1 || c.Record != old):
		return fmt.Errorf("%q is not what counts now", line)
	case c.Action == catalog.Create && old != nil:
		return fmt.Errorf("%q, but it was there", line)
	case c.Action == catalog.Update && old == nil:
		return fmt.Errorf("%q, but it was not there", line)
	}
	return nil
}

// checkOrder checks that a name's deletes come before its updates. A key that goes over to another node id makes two
// such sequences: its old node's, then its new one's.
func checkOrder(changes []catalog.Change, sequences int) error {
	for _, name := range names {
		count, last := 1, catalog.Delete
		for _, c := range changes {
			if c.Record.Name != name {
				continue
			}
			if c.Action == catalog.Delete && last != catalog.Delete {
				count++
			}
			last = c.Action
		}
		if count > sequences {
			return fmt.Errorf("%q: a delete comes after an update", changeStrings(changes))
		}
	}
	return nil
}

func (m *model) checkSnapshots(want []string) error {
	if got := snapshotStrings(m.catalog); !slices.Equal(got, want) {
		return fmt.Errorf("snapshots are %q, want %q", got, want)
	}
	winners := m.oracle.winners()
	for _, name := range names {
		if s := m.catalog.Snapshot(name); (s != nil) != (winners[name] != nil) {
			return fmt.Errorf("snapshot of %s is %v", name, s)
		}
	}
	if m.catalog.Len() != len(m.oracle) {
		return fmt.Errorf("%d records, want %d", m.catalog.Len(), len(m.oracle))
	}
	for r := range m.catalog.Records {
		if m.oracle[r.Key] != r || m.catalog.Record(r.Key) != r {
			return fmt.Errorf("wrong record at %s", r.Key)
		}
	}
	return nil
}

// finish checks what needs all steps: that old snapshots are as they were, and that changes which a snapshot knows
// already do no harm.
func (m *model) finish() error {
	want := m.oracle.services()
	if err := m.checkSnapshots(want); err != nil {
		return err
	}
	for i, p := range m.points {
		if got := newCache(p.snapshots).services(); !slices.Equal(got, p.services) {
			return fmt.Errorf("the snapshots of the %dth change became %q, were %q", p.changes, got, p.services)
		}
		for _, earlier := range m.points[:i] {
			c := newCache(p.snapshots)
			for _, change := range m.changes[earlier.changes:] {
				c.fold(change)
			}
			if got := c.services(); !slices.Equal(got, want) {
				return fmt.Errorf("folding changes since the %dth over the snapshots of the %dth gives %q, want %q",
					earlier.changes, p.changes, got, want)
			}
		}
	}
	return nil
}
