package fleet

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
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
	Err      error   // of Disconnected
}

var (
	errLost      = errors.New("lost the connection to etcd")
	errEnded     = errors.New("watch ended without a reason")
	errRelist    = errors.New("time to list again")
	errRewritten = errors.New("etcd's history has changed")
)

const (
	probeTime  = 15 * time.Second // between two questions whether etcd's history is still the same
	eventTime  = 2 * time.Second  // which an event may need to arrive
	relistTime = 5 * time.Minute
	maxBackoff = time.Second
	// maxBackoffRefused is longer because an authentication costs etcd a bcrypt and a raft proposal.
	maxBackoffRefused = 15 * time.Second
)

// IsRefused reports whether etcd doesn't want to know this user, or to let it read. Its twin is
// refused in registry/etcd/backoff.go, which no other package should need.
func IsRefused(err error) bool {
	for _, no := range []error{
		rpctypes.ErrPermissionDenied, rpctypes.ErrAuthFailed, rpctypes.ErrUserEmpty, rpctypes.ErrUserNotFound, rpctypes.ErrInvalidAuthMgmt,
	} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// Follow tells what there is, as Appeared with Record.Before, and then Connected; and from then on
// what changes. Where it can't follow it says Disconnected, once, and tries again, for ever. When it
// is back it tells the difference, and Connected again. So what was told always adds up to what etcd
// has, across compactions, restores, and lost leaders. A key that was deleted and made again meanwhile
// is Gone and Appeared, not Changed.
//
// tell is called by the goroutine that called Follow. Follow returns when ctx ends, with ctx's cause.
func (s Source) Follow(ctx context.Context, tell func(Event)) error {
	f := &following{Source: s, tell: tell, known: make(map[string]*Record)}
	for failures := 0; ctx.Err() == nil; {
		began := time.Now()
		err := f.follow(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, errRelist):
			continue
		case time.Since(began) > 10*maxBackoff:
			failures = 0
		}
		failures++
		f.disconnected(err)
		limit := maxBackoff
		if IsRefused(err) {
			limit = maxBackoffRefused
		}
		wait := min(50*time.Millisecond<<min(failures, 10), limit)
		pause(ctx, wait/2+rand.N(wait/2))
	}
	return context.Cause(ctx)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// following is what Follow knows. It belongs to one goroutine.
type following struct {
	Source
	tell func(Event)

	known     map[string]*Record
	others    map[string]bool // keys that aren't the wanted service's
	looked    bool            // there was a first list
	connected bool
	silent    bool // Disconnected was told
	revision  int64
	cluster   uint64
	term      uint64
	streams   int
}

func (f *following) disconnected(err error) {
	f.connected = false
	if !f.silent {
		f.silent = true
		f.tell(Event{At: time.Now(), Kind: Disconnected, Revision: f.revision, Err: err})
	}
}

// follow lists and watches until that can't go on.
func (f *following) follow(ctx context.Context) error {
	all, err := f.Read(ctx, nil)
	if err != nil {
		return err
	}
	f.replace(all)
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	observed := make(chan struct{})
	go func() { defer close(observed); f.observe(ctx, lost) }()
	defer func() { lost(nil); <-observed }()
	return f.watch(ctx)
}

// observe ends ctx when the connection is lost, which a watch survives in silence.
func (f *following) observe(ctx context.Context, lost context.CancelCauseFunc) {
	conn := f.Client.ActiveConnection()
	if state := conn.GetState(); state != connectivity.Ready || conn.WaitForStateChange(ctx, state) {
		lost(errLost)
	}
}

// replace takes a list for what there is, and tells how that differs from what was known.
func (f *following) replace(all *Fleet) {
	now := time.Now()
	listed := make(map[string]*Record, len(all.Records))
	for _, r := range all.Records {
		listed[r.Key] = r
	}
	for _, key := range slices.Sorted(maps.Keys(f.known)) {
		if listed[key] == nil {
			f.remove(now, all.Revision, key)
		}
	}
	for _, r := range all.Records {
		f.put(now, all.Revision, r, !f.looked)
	}
	f.others = all.others
	f.revision, f.cluster, f.term = all.Revision, all.Cluster, all.Term
	f.looked = true
	if !f.connected {
		f.connected, f.silent = true, false
		f.tell(Event{At: now, Kind: Connected, Revision: all.Revision})
	}
}

func (f *following) remove(at time.Time, revision int64, key string) {
	if r := f.known[key]; r != nil {
		delete(f.known, key)
		f.tell(Event{At: at, Kind: Gone, Revision: revision, Before: r})
	}
}

// put takes in a record as etcd has it at a revision.
func (f *following) put(at time.Time, revision int64, r *Record, before bool) {
	old := f.known[r.Key]
	if old != nil && old.same(r) {
		return
	}
	if old != nil && old.Created != r.Created {
		f.remove(at, revision, r.Key)
		old = nil
	}
	r.Seen, r.Before = at, before
	kind := Appeared
	if old != nil {
		r.Seen, r.Before, kind = old.Seen, old.Before, Changed
	}
	f.known[r.Key] = r
	f.tell(Event{At: at, Kind: kind, Revision: revision, Record: r, Before: old})
}

// streamKey is gRPC metadata that tells one watch stream from another: watches with equal metadata
// share one (client/v3 watch.go, streamKeyFromCtx), and one whose token has expired refuses new
// watches for ever.
const streamKey = "micro-etcd-fleet-stream"

// watch takes in what comes after the list, until that ends or seems to be another history's.
func (f *following) watch(ctx context.Context) error {
	f.streams++
	stream := metadata.AppendToOutgoingContext(ctx, streamKey, strconv.Itoa(f.streams))
	stream, cancel := context.WithCancel(clientv3.WithRequireLeader(stream))
	defer cancel()
	events := f.Client.Watch(stream, f.Dir(), clientv3.WithPrefix(), clientv3.WithRev(f.revision+1))
	relist, probe := time.NewTimer(relistTime), time.NewTimer(probeTime)
	defer relist.Stop()
	defer probe.Stop()
	doubtful := false // a probe counted other keys than are known, and there was no event since
	for {
		select {
		case response, ok := <-events:
			if err := f.take(ctx, response, ok); err != nil {
				return err
			}
			doubtful = false
		case <-probe.C:
			same, err := f.probe(ctx)
			switch {
			case err != nil:
				return err
			case same:
				doubtful = false
				probe.Reset(probeTime)
			case doubtful:
				return errRelist
			default:
				doubtful = true
				probe.Reset(eventTime)
			}
		case <-relist.C:
			return errRelist
		}
	}
}

func (f *following) take(ctx context.Context, response clientv3.WatchResponse, ok bool) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !ok:
		return errEnded
	case response.Err() != nil:
		return response.Err()
	}
	now := time.Now()
	for _, event := range response.Events {
		key := string(event.Kv.Key)
		delete(f.others, key)
		if event.Type == clientv3.EventTypeDelete {
			f.remove(now, event.Kv.ModRevision, key)
		} else if r := f.record(event.Kv); r != nil {
			f.put(now, event.Kv.ModRevision, r, false)
		} else {
			f.remove(now, event.Kv.ModRevision, key)
			f.others[key] = true
		}
		f.revision = max(f.revision, event.Kv.ModRevision)
	}
	return nil
}

// probe asks whether etcd's history is still the one that the watch rests on: one from a revision
// that etcd will only reach again, after its data was wiped or restored, is silent.
func (f *following) probe(ctx context.Context) (same bool, err error) {
	answer, err := f.get(ctx, f.Dir(), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if err != nil {
		return false, err
	}
	if h := answer.Header; h.Revision < f.revision || h.RaftTerm < f.term || h.ClusterId != f.cluster {
		return false, errRewritten
	}
	f.term = answer.Header.RaftTerm
	return answer.Count == int64(len(f.known)+len(f.others)), nil
}
