package feed

import (
	"slices"
	"sync"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// Feed is a catalog that others look at. Before Ready it has nothing to show.
type Feed struct {
	Prefix string        // of the keys that are in it
	Ready  chan struct{} // closed with the first publication
	dirOf  func(service string) string
	shown  *Shown

	snapshots sync.Map // service name → *catalog.Snapshot that was shown, until it changes

	Mu       sync.Mutex        // for what follows; whoever changes the catalog holds it until that is published
	Catalog  *catalog.Catalog  // to be changed through Publish only
	watchers map[*Watcher]bool // whether Watch returned before Ready, so that all of it is news
	ended    bool              // nobody keeps it up to date any more
}

// New returns a feed of the services whose directories are below a prefix. Those of one registry share what was shown.
func New(shown *Shown, dirOf func(service string) string, prefix string) *Feed {
	return &Feed{
		Prefix: prefix, Ready: make(chan struct{}), dirOf: dirOf, shown: shown,
		Catalog: catalog.New(), watchers: make(map[*Watcher]bool),
	}
}

// IsReady reports whether there is something to show, even if that is nothing.
func (f *Feed) IsReady() bool { return signal.IsClosed(f.Ready) }

// Snapshot returns a service as it is known now, or nil. It takes no lock unless the service has changed.
func (f *Feed) Snapshot(name string) *catalog.Snapshot {
	if s, ok := f.snapshots.Load(name); ok {
		return s.(*catalog.Snapshot)
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if s, ok := f.snapshots.Load(name); ok {
		return s.(*catalog.Snapshot)
	}
	s := f.Catalog.Snapshot(name)
	keeps := s != nil && !f.ended
	f.shown.Look(name, f.dirOf(name), f.Catalog, f, keeps)
	if keeps {
		f.snapshots.Store(name, s)
	}
	return s
}

// All returns every service as it is known now.
func (f *Feed) All() []*catalog.Snapshot {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.shown.LookWhole(f.dirOf, f.Catalog, f)
	return f.Catalog.Snapshots()
}

// End ends what the feed shows: it isn't kept up to date from now on.
func (f *Feed) End() {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.ended = true
	f.snapshots.Range(func(name, _ any) bool {
		f.hideLocked(name.(string))
		return true
	})
}

// hideLocked ends what Snapshot has begun: what it returned isn't returned any more.
func (f *Feed) hideLocked(name string) {
	if _, ok := f.snapshots.LoadAndDelete(name); ok {
		f.shown.release(name)
	}
}

// Attach makes a watcher hear of every change from now on, and before that of those since the lookups of the last
// minute. If the feed isn't ready yet, that comes with it.
func (f *Feed) Attach(w *Watcher) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.watchers[w] = false
	if f.IsReady() {
		f.deliverLocked(w, f.shown.differences(f.Prefix, f.Catalog))
	}
}

// Detach ends that.
func (f *Feed) Detach(w *Watcher) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	delete(f.watchers, w)
}

// DeliverInitial marks a watcher whose Watch couldn't wait for the feed to be ready.
func (f *Feed) DeliverInitial(w *Watcher) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if _, attached := f.watchers[w]; attached && !f.IsReady() {
		f.watchers[w] = true
	}
}

// EndWatchers ends all that there are.
func (f *Feed) EndWatchers(cause error) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for w := range f.watchers {
		w.End(cause)
	}
}

// WatchersLocked returns how many there are, and how many changes the slowest one hasn't taken yet.
func (f *Feed) WatchersLocked() (watchers, queued int) {
	for w := range f.watchers {
		queued = max(queued, w.queued())
	}
	return len(f.watchers), queued
}

// PublishLocked hands changes of the catalog to readers and watchers. The first time watchers hear only how it differs
// from what lookups have shown, unless they couldn't wait for it.
func (f *Feed) PublishLocked(changes []catalog.Change) {
	f.invalidateLocked(changes)
	if !f.IsReady() {
		f.deliverFirstLocked(changes)
		close(f.Ready)
		return
	}
	for w := range f.watchers {
		f.deliverLocked(w, changes)
	}
}

func (f *Feed) deliverFirstLocked(changes []catalog.Change) {
	if len(f.watchers) == 0 {
		return
	}
	shown := f.shown.differences(f.Prefix, f.Catalog)
	for w, fromStart := range f.watchers {
		if fromStart {
			f.deliverLocked(w, notIn(changes, shown)) // first: what is told last of a version gives its profile
		}
		f.deliverLocked(w, shown)
	}
}

// invalidateLocked makes changes visible to lookups.
func (f *Feed) invalidateLocked(changes []catalog.Change) {
	for _, c := range changes {
		f.hideLocked(c.Record.Name)
	}
	f.shown.follow(f, changes)
}

func (f *Feed) deliverLocked(w *Watcher, changes []catalog.Change) {
	if w.Service != "" {
		var wanted []catalog.Change
		for _, c := range changes {
			if c.Record.Name == w.Service {
				wanted = append(wanted, c)
			}
		}
		changes = wanted
	}
	w.push(changes, f.Catalog, f.shown.seen)
}

// notIn returns the changes of nodes that others don't tell of.
func notIn(changes, others []catalog.Change) []catalog.Change {
	told := make(map[nodeKey]bool, len(others))
	for _, c := range others {
		told[keyOf(c)] = true
	}
	return slices.DeleteFunc(slices.Clone(changes), func(c catalog.Change) bool { return told[keyOf(c)] })
}
