package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/reflector"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// Kind says what an Event is about.
type Kind int

// Kinds of events.
const (
	Appeared     Kind = iota + 1 // Record came
	Changed                      // Record was written again over Before
	Gone                         // Before went
	Connected                    // all that etcd has was told: what was told is true as of Revision
	Disconnected                 // what was told may be out of date; Err says why
)

// String returns the name of the kind in lower case.
func (k Kind) String() string {
	switch k {
	case Appeared:
		return "appeared"
	case Changed:
		return "changed"
	case Gone:
		return "gone"
	case Connected:
		return "connected"
	case Disconnected:
		return "disconnected"
	}
	return "unknown"
}

// Event is one thing that Follow tells.
type Event struct {
	At       time.Time
	Kind     Kind
	Revision int64   // etcd's, at which it happened, or at which it was found out
	Record   *Record // of Appeared and Changed
	Before   *Record // of Changed and Gone
	// Swap says that a record and its notice took each other's place: the node has gone out of service, or has come back.
	// That makes two events, Gone and Appeared, at one revision.
	Swap bool
	// Rewritten says of Connected that etcd's data was wiped or restored since the last one: what is Gone may only not be
	// back yet.
	Rewritten bool
	Cluster   uint64 // of Connected: etcd's cluster id
	Err       error  // of Disconnected
}

// SettleTime is how long what is missing after Rewritten may take to come back: go-micro's services register every 30
// seconds, unless they are told otherwise (server.DefaultRegisterInterval).
const SettleTime = 30 * time.Second

var (
	errLost      = errors.New("lost the connection to etcd")
	errRewritten = errors.New("etcd's history has changed")
)

const (
	probeTime = 15 * time.Second // between two questions whether etcd's history is still the same
	eventTime = 2 * time.Second  // which an event may need to arrive
)

// Follow tells what there is, as Appeared with Record.Before, and then Connected; and from then on what changes. Where
// it can't follow it says Disconnected, once, and tries again, for ever. When it is back it tells the difference, and
// Connected again. So what was told always adds up to what etcd has, across compactions, restores, and lost leaders. A
// key that was deleted and made again meanwhile is Gone and Appeared, not Changed.
//
// tell gets at once what belongs together: how a list differs from what was known, or what etcd sent in one message. It
// is called by the goroutine that called Follow. Follow returns when ctx ends, with ctx's cause.
func (s Source) Follow(ctx context.Context, tell func([]Event)) error {
	c := newConnection(ctx, s.Client)
	f := newFollowing(s, c, tell)
	var beside sync.WaitGroup
	beside.Go(func() { f.probeLoop(ctx) })
	f.reflector.Run(ctx)
	beside.Wait()
	c.running.Wait()
	return context.Cause(ctx)
}

// following is what Follow knows. It belongs to the goroutine of its reflector, but for what is said otherwise.
type following struct {
	Source
	tell      func([]Event)
	untold    []Event
	reflector *reflector.Reflector // its methods may be called by all

	known     map[string]*Record
	others    map[string]bool // keys that aren't the wanted service's
	looked    bool            // there was a first list
	connected bool
	silent    bool // Disconnected was told
	cluster   uint64
	term      uint64 // of the last list
	revision  int64

	seen atomic.Pointer[sight] // what a probe compares with; nil where that isn't up to date
}

// sight is how far following has come. It doesn't change.
type sight struct {
	cluster, term uint64
	revision      int64
	keys          int
}

func newFollowing(s Source, c *connection, tell func([]Event)) *following {
	f := &following{Source: s, tell: tell, known: make(map[string]*Record)}
	f.reflector = reflector.New(s.lister(c, nil), f)
	return f
}

// Listing implements reflector.Handler.
func (f *following) Listing(error) { f.seen.Store(nil) }

// Following implements reflector.Handler.
func (f *following) Following() {}

// Broken tells of it, once.
func (f *following) Broken(err error) {
	f.seen.Store(nil)
	f.connected = false
	if !f.silent {
		f.silent = true
		if status.Code(err) == codes.Unavailable || f.Client.ActiveConnection().GetState() != connectivity.Ready {
			err = fmt.Errorf("%w: %w", errLost, err)
		}
		f.note(Event{At: time.Now(), Kind: Disconnected, Revision: f.revision, Err: err})
		f.flush()
	}
}

func (f *following) note(e Event) { f.untold = append(f.untold, e) }

// flush tells what was noted.
func (f *following) flush() {
	if events := f.untold; len(events) > 0 {
		f.untold = nil
		f.tell(events)
	}
}

// Replace implements reflector.Handler.
func (f *following) Replace(all *reflector.List) { f.replace(f.fleet(all)) }

// replace takes a list for what there is, and tells how that differs from what was known.
func (f *following) replace(all *Fleet) {
	now := time.Now()
	listed := make(map[string]*Record, len(all.Records))
	for _, r := range all.Records {
		listed[r.Key] = r
	}
	var steps []step
	for _, key := range slices.Sorted(maps.Keys(f.known)) {
		if listed[key] == nil {
			steps = append(steps, step{all.Revision, key, f.known[key], nil})
		}
	}
	for _, r := range all.Records {
		steps = append(steps, step{all.Revision, r.Key, f.known[r.Key], r})
	}
	f.take(now, steps, !f.looked)
	rewritten := f.looked && (all.Cluster != f.cluster || all.Term < f.term || all.Revision < f.revision)
	f.others = all.others
	f.cluster, f.term, f.revision = all.Cluster, all.Term, all.Revision
	f.looked = true
	f.seen.Store(&sight{all.Cluster, all.Term, f.revision, len(f.known) + len(f.others)})
	if !f.connected {
		f.connected, f.silent = true, false
		f.note(Event{
			At: now, Kind: Connected, Revision: all.Revision, Rewritten: rewritten, Cluster: all.Cluster,
		})
	}
	f.flush()
}

// step is what became of a key at a revision.
type step struct {
	revision   int64
	key        string
	before, is *Record // nil for none, or another service's
}

// take takes in steps, in their order. before says that they are what was there when Follow began.
func (f *following) take(at time.Time, steps []step, before bool) {
	swaps := f.swaps(steps)
	for _, s := range steps {
		swap := swaps[place{s.revision, f.recordKey(s.key)}]
		if s.is != nil {
			f.put(at, s.revision, s.is, before, swap)
		} else {
			f.remove(at, s.revision, s.key, swap)
		}
	}
}

// place is where a record is, or would be, at a revision.
type place struct {
	revision int64
	key      string
}

// recordKey is the key of the record that a notice stands for, or the key itself.
func (f *following) recordKey(key string) string {
	if of, ok := f.Keyspace().OfNotice(key); ok {
		return of
	}
	return key
}

// swaps finds where records and notices took each other's place.
func (f *following) swaps(steps []step) map[place]bool {
	var swaps map[place]bool
	records := make(map[place]step)
	for _, s := range steps {
		if !s.isOut() {
			records[place{s.revision, s.key}] = s
		}
	}
	for _, s := range steps {
		at := place{s.revision, f.recordKey(s.key)}
		record, ok := records[at]
		if !ok || !s.isOut() {
			continue
		}
		out := s.before == nil && s.is != nil && record.before != nil && record.is == nil
		back := s.before != nil && s.is == nil && record.before == nil && record.is != nil
		if out || back {
			if swaps == nil {
				swaps = make(map[place]bool)
			}
			swaps[at] = true
		}
	}
	return swaps
}

// isOut reports whether a step is a notice's.
func (s step) isOut() bool {
	return s.is != nil && s.is.IsNotice() || s.before != nil && s.before.IsNotice()
}

func (f *following) remove(at time.Time, revision int64, key string, swap bool) {
	if r := f.known[key]; r != nil {
		delete(f.known, key)
		f.note(Event{At: at, Kind: Gone, Revision: revision, Before: r, Swap: swap})
	}
}

// put takes in a record as etcd has it at a revision.
func (f *following) put(at time.Time, revision int64, r *Record, before, swap bool) {
	old := f.known[r.Key]
	if old != nil && old.same(r) {
		return
	}
	if old != nil && old.Created != r.Created {
		f.remove(at, revision, r.Key, false)
		old = nil
	}
	r.Seen, r.Before = at, before
	kind := Appeared
	if old != nil {
		r.Seen, r.Before, kind = old.Seen, old.Before, Changed
	}
	f.known[r.Key] = r
	f.note(Event{At: at, Kind: kind, Revision: revision, Record: r, Before: old, Swap: swap && kind == Appeared})
}

// Apply implements reflector.Handler.
func (f *following) Apply(events []*clientv3.Event) {
	var steps []step
	latest := make(map[string]*Record, len(events)) // of the keys in these events
	for _, event := range events {
		key := string(event.Kv.Key)
		before, ok := latest[key]
		if !ok {
			before = f.known[key]
		}
		s := step{revision: event.Kv.ModRevision, key: key, before: before}
		delete(f.others, key)
		if event.Type != clientv3.EventTypeDelete {
			if s.is = f.record(event.Kv); s.is == nil {
				f.others[key] = true
			}
		}
		latest[key] = s.is
		steps = append(steps, s)
		f.revision = max(f.revision, event.Kv.ModRevision)
	}
	f.take(time.Now(), steps, false)
	f.flush()
	if before := f.seen.Load(); before != nil {
		f.seen.Store(&sight{before.cluster, before.term, f.revision, len(f.known) + len(f.others)})
	}
}

// probeLoop asks now and then whether etcd's history is still the one that the watch rests on: one from a revision that
// etcd will only reach again, after its data was wiped or restored, is silent.
func (f *following) probeLoop(ctx context.Context) {
	var doubtful *sight // a probe counted other keys than were known then
	for ctx.Err() == nil {
		wait := probeTime
		if doubtful != nil {
			wait = eventTime
		}
		retry.Sleep(ctx, wait)
		same, err := f.probe(ctx)
		seen := f.seen.Load()
		switch {
		case err != nil && ctx.Err() == nil:
			f.reflector.Fail(err)
			doubtful = nil
		case same:
			doubtful = nil
		case seen == doubtful:
			f.reflector.Relist()
			doubtful = nil
		default:
			doubtful = seen
		}
	}
}

// probe reports whether etcd has as many keys as are known.
func (f *following) probe(ctx context.Context) (same bool, err error) {
	known := f.seen.Load()
	if known == nil {
		return true, nil
	}
	answer, err := f.get(ctx, f.Dir(), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return false, err
	}
	if h := answer.Header; h.Revision < known.revision || h.RaftTerm < known.term || h.ClusterId != known.cluster {
		return false, errRewritten
	}
	same = answer.Count == int64(known.keys)
	if same {
		raised := *known
		raised.term = answer.Header.RaftTerm
		f.seen.CompareAndSwap(known, &raised)
	}
	return same, nil
}
