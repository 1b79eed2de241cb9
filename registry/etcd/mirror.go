package etcd

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
)

// mirror is the view of a directory of etcd, or of the whole prefix. Its reflector keeps it up to date. Readers and
// watchers never wait for etcd once it is ready.
type mirror struct {
	mirrors   *mirrors
	prefix    string
	reflector *reflector.Reflector
	ctx       context.Context // ends when the mirrors drop it
	end       context.CancelFunc
	ready     chan struct{} // closed after the first list

	views sync.Map     // service name → *catalog.Snapshot that was shown, until it changes
	used  atomic.Int64 // the epoch of the mirrors in which it was used last

	link   atomic.Pointer[etcdconn.Client] // whose events the view lives on, nil before
	behind atomic.Bool                     // whether broken is set, for lookups

	// Under mirrors.mu.
	idleFrom time.Time // not used since, for all that the last sweep saw
	waiters  int       // calls that wait for ready
	watching int       // watchers
	names    []string  // under which mirrors.byName knows it

	mu       sync.Mutex
	catalog  *catalog.Catalog
	decoder  *catalog.Decoder
	watchers map[*watcher]struct{}
	dropped  bool // the mirrors have ended it
	cluster  uint64
	applied  int64             // all that etcd did up to here is in the catalog
	newest   int64             // the newest revision in it, our own writes included
	deleted  map[string]int64  // our own deletes that etcd hasn't echoed yet, by key
	junk     int               // keys that are no records
	floor    int64             // newest when the list under way began
	cause    metrics.ListCause // of the next list
	broken   error             // why it doesn't follow at the moment
	since    time.Time         // of broken
	told     bool              // that it is broken
	failed   chan struct{}     // closed and renewed when broken changes
	replaced bool              // the client was, after the list under way or the last one began
}

func newMirror(ms *mirrors, prefix string) *mirror {
	m := &mirror{
		mirrors:  ms,
		prefix:   prefix,
		ready:    make(chan struct{}),
		idleFrom: time.Now(),
		catalog:  catalog.New(),
		decoder:  catalog.NewDecoder(ms.keys),
		watchers: make(map[*watcher]struct{}),
		deleted:  make(map[string]int64),
		failed:   make(chan struct{}),
	}
	m.use()
	m.reflector = reflector.New(ms.lister(prefix, &m.link), m)
	return m
}

// use notes that the mirror is of use. It takes no lock.
func (m *mirror) use() {
	if now := m.mirrors.epoch.Load(); m.used.Load() != now {
		m.used.Store(now)
	}
}

func (m *mirror) isReady() bool {
	select {
	case <-m.ready:
		return true
	default:
		return false
	}
}

// isEmpty reports whether nothing would be lost with the mirror: it has no list, or no nodes.
func (m *mirror) isEmpty() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.isReady() || m.catalog.Len() == 0
}

// doubt makes the mirror list again.
func (m *mirror) doubt(cause metrics.ListCause) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doubtLocked(cause)
}

func (m *mirror) doubtLocked(cause metrics.ListCause) {
	if m.isReady() { // the first list needs no other reason
		m.cause = cause
	}
	m.reflector.Relist()
}

// replace makes the mirror list again from another client. What the one before had against it counts no more.
func (m *mirror) replace() {
	m.mu.Lock()
	m.replaced = true
	if !m.isReady() {
		m.broken = nil
	}
	m.mu.Unlock()
	m.doubt(metrics.ListClientReplaced)
}

// Listing notes what is known now, and why there is another list.
func (m *mirror) Listing(ended error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.floor, m.replaced = m.newest, false
	if ended != nil && m.cause == metrics.ListPeriodic && !errors.Is(ended, etcdconn.ErrReplaced) {
		m.cause = causeOf(ended)
	}
}

// causeOf says why a view is listed whose watch has ended.
func causeOf(err error) metrics.ListCause {
	if errors.Is(err, rpctypes.ErrCompacted) {
		return metrics.ListCompacted
	}
	return metrics.ListWatchEnded
}

// Following notes that the view is kept up to date. A list alone doesn't do that: etcd may refuse the watch after it.
func (m *mirror) Following() {
	m.mu.Lock()
	again := m.broken != nil && m.told
	m.broken, m.told = nil, false
	m.behind.Store(false)
	m.mu.Unlock()
	if again {
		m.mirrors.changed()
	}
}

// Broken notes that the view can't be kept up to date at the moment.
func (m *mirror) Broken(err error) {
	m.mu.Lock()
	if m.replaced {
		m.mu.Unlock()
		return
	}
	if m.broken == nil {
		m.since = time.Now()
	}
	m.broken = err
	m.behind.Store(true)
	first := m.isReady() && !m.told
	m.told = m.told || first
	close(m.failed)
	m.failed = make(chan struct{})
	m.mu.Unlock()
	if first {
		m.mirrors.changed()
	}
	m.mirrors.review(m)
}

// staleLocked says since when and why the view isn't kept up to date, if so.
func (m *mirror) staleLocked() (since time.Time, err error) {
	if m.broken != nil {
		return m.since, m.broken
	}
	if l := m.link.Load(); l != nil {
		if down := l.DownSince(); !down.IsZero() {
			return down, etcdconn.ErrDisconnected
		}
	}
	return time.Time{}, nil
}

// origin says what a lookup in a view that there is, is answered from. It takes no lock.
func (m *mirror) origin() metrics.Source {
	if l := m.link.Load(); m.behind.Load() || l != nil && l.IsDown() {
		return metrics.SourceStale
	}
	return metrics.SourceLocal
}

// firstOrigin is origin where there may be no view yet.
func (m *mirror) firstOrigin() metrics.Source {
	if !m.isReady() {
		return metrics.SourceRemote
	}
	return m.origin()
}
