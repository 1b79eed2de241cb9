package feed

import (
	"slices"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// backlog is a queue of changes that a slow reader can't make grow without bound: beyond a limit, the changes of each
// node are merged into their sum.
type backlog struct {
	items []entry
	limit int
}

type entry struct {
	change catalog.Change
	at     time.Time
}

// minBacklog is how many changes are kept as they came, however few nodes there are.
const minBacklog = 4096

// seenFunc reports whether a lookup may have shown a node of a service that came at a time.
type seenFunc func(name string, came time.Time) bool

// push adds changes that led to now.
func (b *backlog) push(changes []catalog.Change, at time.Time, now *catalog.Catalog, seen seenFunc) {
	for _, c := range changes {
		b.items = append(b.items, entry{c, at})
	}
	if len(b.items) > max(b.limit, minBacklog) {
		b.compact(now, seen)
		b.limit = 2 * len(b.items)
	}
}

func (b *backlog) pop() (catalog.Change, bool) {
	if len(b.items) == 0 {
		return catalog.Change{}, false
	}
	c := b.items[0].change
	b.items[0] = entry{}
	b.items = b.items[1:]
	return c, true
}

// nodeKey identifies a node for a consumer that keeps nodes by version, as go-micro's cache does.
type nodeKey struct{ name, version, id string }

func keyOf(c catalog.Change) nodeKey {
	return nodeKey{c.Record.Name, c.Record.Version, c.Record.Node.Id}
}

// compact leaves what a consumer that has folded everything before the backlog needs to get to now: the nodes that
// went, those that came or changed, and for each version that lost a node the one that leads it. A node that came and
// went is left out, unless a lookup may have shown it in between: then its delete has to be told.
func (b *backlog) compact(now *catalog.Catalog, seen seenFunc) {
	var deletes, others []entry
	first := make(map[nodeKey]entry)
	done := make(map[nodeKey]bool)
	for _, e := range b.items {
		if key := keyOf(e.change); first[key].change.Record == nil {
			first[key] = e
		}
	}
	unseen := func(key nodeKey) bool {
		f, ok := first[key]
		return ok && f.change.Action == catalog.Create && !seen(key.name, f.at)
	}
	update := func(c catalog.Change, at time.Time) {
		if key := keyOf(c); !done[key] {
			done[key] = true
			if unseen(key) { // what was shown is an update, or a later merge would take it for unseen
				c.Action = catalog.Create
			}
			others = append(others, entry{c, at})
		}
	}
	for _, e := range slices.Backward(b.items) {
		key := keyOf(e.change)
		if c, ok := now.Node(key.name, key.id); ok && c.Record.Version == key.version {
			update(c, e.at)
			continue
		}
		if lead, ok := now.Lead(key.name, key.version); ok {
			update(lead, e.at)
		}
		if !done[key] && !unseen(key) {
			deletes = append(deletes, e)
		}
		done[key] = true
	}
	slices.Reverse(deletes)
	slices.Reverse(others)
	b.items = slices.Concat(deletes, others)
}
