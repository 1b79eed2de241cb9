package etcd

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// mirror follows a directory of etcd, or the whole prefix: it lists at a revision, watches
// from there, and lists again when the watch can't go on, which yields a difference to what
// was known. Readers and watchers never wait for etcd once it is ready.
type mirror struct {
	mirrors *mirrors
	prefix  string
	ctx     context.Context // ends when the mirrors drop it
	end     context.CancelFunc
	ready   chan struct{} // closed after the first list

	views sync.Map    // service name → *catalogue.Snapshot, until it changes
	used  atomic.Bool // looked at since the last sweep

	link   atomic.Pointer[link] // whose events the view lives on, nil before
	behind atomic.Bool          // whether broken is set, for look-ups

	idle int // sweeps since it was; under mirrors.mu

	waiters int      // calls that wait for ready; under mirrors.mu
	names   []string // under which mirrors.byName knows it; under mirrors.mu

	mu        sync.Mutex
	catalogue *catalogue.Catalogue
	decoder   *decoder
	watchers  map[*watcher]struct{}
	looked    bool            // a look-up has shown this view to somebody
	dropped   bool            // the mirrors have ended it
	seeded    map[string]bool // directories whose records came from another mirror that was looked at
	replay    backlog         // what happened in the last minute since looked, for watchers to come
	cluster   uint64
	applied   int64            // all that etcd did up to here is in the catalogue
	newest    int64            // the newest revision in it, our own writes included
	deleted   map[string]int64 // our own deletes that etcd hasn't echoed yet, by key
	junk      int              // keys that are no records
	doubts    int              // signs that etcd's history may be another one
	settled   int              // those of them that came before the last list
	cause     listCause        // of the next list
	broken    error            // why it doesn't follow at the moment
	since     time.Time        // of broken
	failed    chan struct{}    // closed and renewed when broken changes
	doubted   chan struct{}    // asks for a list, for the cause
}

func newMirror(ms *mirrors, prefix string) *mirror {
	return &mirror{
		mirrors:   ms,
		prefix:    prefix,
		ready:     make(chan struct{}),
		catalogue: catalogue.New(),
		decoder:   newDecoder(ms.keys),
		watchers:  make(map[*watcher]struct{}),
		deleted:   make(map[string]int64),
		failed:    make(chan struct{}),
		doubted:   make(chan struct{}, 1),
	}
}

func (m *mirror) whole() bool { return m.prefix == m.mirrors.keys.prefix }

func (m *mirror) watched() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.watchers) > 0
}

// unknown reports whether there is nothing to follow or to remember, and nobody watches.
func (m *mirror) unknown() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replay.dropBefore(time.Now().Add(-replayTime))
	return m.catalogue.Len() == 0 && len(m.watchers) == 0 && len(m.replay.items) == 0 && !m.whole()
}

func (m *mirror) forgetOld() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replay.dropBefore(time.Now().Add(-replayTime))
}

func (m *mirror) isReady() bool {
	select {
	case <-m.ready:
		return true
	default:
		return false
	}
}

// doubt makes the mirror list again.
func (m *mirror) doubt(cause listCause) {
	m.blame(cause)
	select {
	case m.doubted <- struct{}{}:
	default:
	}
}

// blame notes why the next list will be. The first one needs no other reason.
func (m *mirror) blame(cause listCause) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isReady() {
		m.cause = cause
	}
}

// rewrite makes the mirror list again what may be another history.
func (m *mirror) rewrite() {
	m.mu.Lock()
	if m.isReady() {
		m.doubts++
	}
	m.mu.Unlock()
	m.doubt(listHistoryChanged)
}

// run follows until ctx ends, or until the mirrors don't want it after its first list.
func (m *mirror) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		began := time.Now()
		err := m.follow(ctx)
		switch {
		case err == nil, errors.Is(err, rpctypes.ErrCompacted) && time.Since(began) > backoffMax:
			failures = 0
			continue
		case time.Since(began) > steadyTime:
			failures = 0
		}
		if ctx.Err() != nil {
			return
		}
		failures++
		m.breakOff(err)
		pause(ctx, backoff(failures, err), m.doubted)
	}
}

// steadyTime is how long following must have gone well to count as health.
const steadyTime = 10 * time.Second

// Bounds of the time after which a mirror lists again even if all seems well.
const (
	minRelist = 5 * time.Minute
	maxRelist = 10 * time.Minute
)

// follow lists and watches. It returns nil when it is time to list again or ctx ended.
func (m *mirror) follow(ctx context.Context) error {
	select {
	case <-m.doubted: // a list is what it asks for
	default:
	}
	m.mu.Lock()
	floor, doubts := m.newest, m.doubts
	m.mu.Unlock()
	l, err := m.connect(ctx)
	if errors.Is(err, errReplaced) {
		m.blame(listClientReplaced)
		return nil
	}
	if err != nil {
		return err
	}
	m.link.Store(l)
	all, err := list(ctx, m.mirrors.connector, m.prefix, m.mirrors.timeout())
	if err != nil {
		return err
	}
	if l.ctx.Err() != nil {
		m.blame(listClientReplaced)
		return nil // the list may be another cluster's than the watch would be
	}
	m.replace(all, floor, doubts)
	if !m.mirrors.keep(m) {
		return nil
	}
	ctx, cancel := l.during(ctx)
	defer cancel()
	return m.watch(ctx, l, all.header.Revision)
}

// watch takes in events after a revision. That is the one after the list's, because a watch from
// one that etcd has already reached is served at intervals of 100 ms at first (server/v3
// storage/mvcc/watchable_store.go, syncWatchersLoop).
func (m *mirror) watch(ctx context.Context, l *link, after int64) error {
	relist := time.NewTimer(minRelist + rand.N(maxRelist-minRelist))
	defer relist.Stop()
	ctx, renewStream := m.mirrors.connector.stream(ctx)
	events := l.Watch(ctx, m.prefix, clientv3.WithPrefix(), clientv3.WithRev(after+1))
	for {
		select {
		case response, ok := <-events:
			if err := watchError(response, ok); err != nil {
				if ctx.Err() != nil || l.ctx.Err() != nil {
					m.blame(listClientReplaced)
					return nil
				}
				renewStream(err)
				m.blame(causeOf(err))
				return err
			}
			m.apply(response.Events, after)
		case <-relist.C:
			m.blame(listPeriodic)
			return nil
		case <-m.doubted:
			return nil
		}
	}
}

// connect waits for the client, which with a password may take a round trip.
func (m *mirror) connect(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, m.mirrors.timeout())
	defer cancel()
	return m.mirrors.connector.link(ctx)
}

// breakOff notes that the view can't be kept up to date at the moment.
func (m *mirror) breakOff(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken == nil {
		m.since = time.Now()
		if m.isReady() {
			m.mirrors.log.warnf("can't follow %.300q, serving the last view: %v", m.prefix, err)
		}
	}
	m.broken = err
	m.behind.Store(true)
	close(m.failed)
	m.failed = make(chan struct{})
}

// stale says since when and why the view isn't kept up to date, if so. It needs mu.
func (m *mirror) stale() (since time.Time, err error) {
	if m.broken != nil {
		return m.since, m.broken
	}
	if l := m.link.Load(); l != nil {
		if down := l.down.Load(); down != 0 {
			return time.Unix(0, down), errDisconnected
		}
	}
	return time.Time{}, nil
}

// origin says what a look-up in a view that there is, is answered from. It takes no lock.
func (m *mirror) origin() origin {
	if l := m.link.Load(); m.behind.Load() || l != nil && l.down.Load() != 0 {
		return fromStaleView
	}
	return fromView
}

// firstOrigin is origin where there may be no view yet.
func (m *mirror) firstOrigin() origin {
	if !m.isReady() {
		return fromEtcd
	}
	return m.origin()
}
