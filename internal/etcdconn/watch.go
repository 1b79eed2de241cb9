package etcdconn

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// Watches are the watches of one etcd client. They share a stream, on which they are opened without waiting for each
// other. The etcd client's own Watcher opens one after the other, and hangs for ever when etcd refuses several at once
// (client/v3 watch.go, run and serveSubstream).
//
// A watch that has an error isn't opened again: its owner reads what it has missed and watches from there.
type Watches struct {
	// Open opens a stream. It may wait for a connection.
	Open func(context.Context) (pb.Watch_WatchClient, error)
	// Ended is told why a stream has ended, or etcd has refused or ended a watch.
	Ended func(error)
	// Go runs a function in a goroutine that somebody waits for, unless it is too late for that.
	Go func(func()) bool
	// Context bounds all streams.
	Context context.Context

	mu     sync.Mutex
	stream *watchStream // for new watches; nil for none
}

// Watch is the watch of a key or a range of keys.
type Watch struct {
	first, end []byte
	from       int64
	ready      signal.Signal
	stream     *watchStream

	// Under Watches.mu.
	id     int64 // on the stream
	open   bool
	events []*clientv3.Event
	err    error
}

const (
	// confirmTime is how long a watch may take to be opened while nothing else is opened on its stream.
	confirmTime = 10 * time.Second
	// maxEvents bounds the events that wait to be taken.
	maxEvents = 100_000
)

// ErrUnconfirmed says that etcd didn't open any of the watches of a stream for ten seconds.
var ErrUnconfirmed = errors.New("etcd doesn't open the watch")

var (
	errLagging   = errors.New("too many events are waiting to be taken")
	errMisrouted = errors.New("an event of another watch")
	errCanceled  = errors.New("watch ended without a reason")
)

// Watch watches from a revision on: one key, or with a non-empty end all keys up to it. It never blocks. Close ends the
// watch.
func (ws *Watches) Watch(key, end string, from int64) *Watch {
	w := &Watch{first: []byte(key), end: []byte(end), from: from, ready: signal.New()}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.stream == nil && !ws.openLocked() {
		w.err = context.Canceled
		w.ready.Send()
		return w
	}
	w.stream = ws.stream
	w.stream.addLocked(w)
	return w
}

func (ws *Watches) openLocked() bool {
	s := &watchStream{watches: ws, byID: make(map[int64]*Watch), wake: signal.New()}
	s.ctx, s.end = context.WithCancelCause(ws.Context)
	if !ws.Go(s.run) {
		s.end(nil)
		return false
	}
	ws.stream = s
	return true
}

// Ready receives when Take may have something to say: events, an error, or that the watch is open.
func (w *Watch) Ready() <-chan struct{} { return w.ready }

// Take returns the events since the last call in the order of their revisions, whether etcd has opened the watch, and
// why the watch has ended, if it has.
func (w *Watch) Take() (events []*clientv3.Event, open bool, err error) {
	if w.stream != nil {
		w.stream.watches.mu.Lock()
		defer w.stream.watches.mu.Unlock()
	}
	events, w.events = w.events, nil
	return events, w.open, w.err
}

// Close ends the watch.
func (w *Watch) Close() {
	if w.stream == nil {
		return
	}
	ws := w.stream.watches
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w.stream.dropLocked(w, context.Canceled)
}

// watchStream is one stream of watches. Its fields are under Watches.mu, but for the constant ones.
type watchStream struct {
	watches *Watches
	ctx     context.Context
	end     context.CancelCauseFunc
	wake    signal.Signal // there is something to send

	next    int64 // id
	byID    map[int64]*Watch
	waiting []*Watch  // to be opened, in the order in which they are sent, which is that of the answers
	sent    int       // how many of these were sent
	cancels []int64   // to be sent
	heard   time.Time // when something was confirmed, or asked for after nothing was
}

func (s *watchStream) addLocked(w *Watch) {
	s.waiting = append(s.waiting, w)
	s.wake.Send()
}

// dropLocked ends a watch.
func (s *watchStream) dropLocked(w *Watch, err error) {
	if w.err == nil {
		w.err = err
		w.ready.Send()
	}
	if i := slices.Index(s.waiting, w); i >= s.sent {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	} else if w.open && s.byID[w.id] == w {
		delete(s.byID, w.id)
		s.cancels = append(s.cancels, w.id)
		s.wake.Send()
	} // else it is canceled when it is confirmed
	if len(s.byID)+len(s.waiting) == 0 && s.watches.stream != s {
		s.end(nil)
	}
}

// closeLocked keeps new watches off the stream.
func (s *watchStream) closeLocked() {
	if s.watches.stream == s {
		s.watches.stream = nil
	}
}

// run opens the stream and receives until it ends.
func (s *watchStream) run() {
	defer s.end(nil)
	ws := s.watches
	stream, err := ws.Open(s.ctx)
	if err == nil {
		sent := make(chan struct{})
		if !ws.Go(func() { defer close(sent); s.send(stream) }) {
			close(sent)
		}
		err = s.receive(stream)
		if cause := context.Cause(s.ctx); cause != nil {
			err = cause
		}
		s.end(nil)
		<-sent
	}
	err = rpctypes.Error(err)
	ws.mu.Lock()
	s.closeLocked()
	for _, w := range slices.AppendSeq(s.waiting, maps.Values(s.byID)) {
		if w.err == nil {
			w.err = err
			w.ready.Send()
		}
	}
	clear(s.byID)
	s.waiting, s.sent = nil, 0
	ws.mu.Unlock()
	ws.Ended(err)
}

// send sends what there is to send until the stream ends, and ends it when nothing is confirmed for too long.
func (s *watchStream) send(stream pb.Watch_WatchClient) {
	timer := time.NewTimer(confirmTime)
	defer timer.Stop()
	for {
		for request := s.nextRequest(); request != nil; request = s.nextRequest() {
			if stream.Send(request) != nil {
				return // receive is told why
			}
		}
		select {
		case <-s.wake:
		case <-timer.C:
			timer.Reset(s.untilOverdue())
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *watchStream) nextRequest() *pb.WatchRequest {
	s.watches.mu.Lock()
	defer s.watches.mu.Unlock()
	if len(s.cancels) > 0 {
		id := s.cancels[0]
		s.cancels = s.cancels[1:]
		return &pb.WatchRequest{
			RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}},
		}
	}
	if s.sent == len(s.waiting) {
		return nil
	}
	w := s.waiting[s.sent]
	w.id = s.next // as a gRPC proxy counts, which doesn't look at the ids it is sent (server/v3 proxy/grpcproxy/watch.go)
	s.next++
	s.byID[w.id] = w
	if s.sent++; s.sent == 1 {
		s.heard = time.Now()
	}
	create := &pb.WatchCreateRequest{Key: w.first, RangeEnd: w.end, StartRevision: w.from, WatchId: w.id}
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}
}

// untilOverdue returns how long something may still take to be confirmed, and ends the stream if that is over.
func (s *watchStream) untilOverdue() time.Duration {
	s.watches.mu.Lock()
	defer s.watches.mu.Unlock()
	if s.sent == 0 {
		return confirmTime
	}
	left := confirmTime - time.Since(s.heard)
	if left > 0 {
		return left
	}
	s.closeLocked()
	s.end(ErrUnconfirmed)
	return confirmTime
}

func (s *watchStream) receive(stream pb.Watch_WatchClient) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		refused, err := s.take(r)
		if refused != nil {
			s.watches.Ended(refused)
		}
		if err != nil {
			return err
		}
	}
}

// take takes in a response. A refusal, or an end, is that of a single watch.
func (s *watchStream) take(r *pb.WatchResponse) (refused, err error) {
	s.watches.mu.Lock()
	defer s.watches.mu.Unlock()
	if r.Created {
		return s.createdLocked(r), nil
	}
	w := s.byID[r.WatchId]
	if w == nil {
		return nil, nil
	}
	for _, e := range r.Events {
		if !w.covers(e.Kv.Key) {
			return nil, errMisrouted
		}
		w.events = append(w.events, (*clientv3.Event)(e))
	}
	switch {
	case r.CompactRevision != 0 || r.Canceled:
		delete(s.byID, w.id)
		refused = reasonOf(r)
		w.err = cmp.Or(w.err, refused)
	case len(w.events) > maxEvents:
		s.dropLocked(w, errLagging)
	}
	w.ready.Send()
	return refused, nil
}

func (w *Watch) covers(key []byte) bool {
	if len(w.end) == 0 {
		return bytes.Equal(key, w.first)
	}
	return bytes.Compare(key, w.first) >= 0 && bytes.Compare(key, w.end) < 0
}

// createdLocked takes in what became of a watch that was asked for. A refused one has no id: it is the first without an
// answer.
func (s *watchStream) createdLocked(r *pb.WatchResponse) (refused error) {
	i := slices.IndexFunc(s.waiting[:s.sent], func(w *Watch) bool { return r.Canceled || w.id == r.WatchId })
	if i < 0 {
		return nil
	}
	w := s.waiting[i]
	s.waiting = slices.Delete(s.waiting, i, i+1)
	s.sent--
	s.heard = time.Now()
	if r.Canceled {
		s.closeLocked() // with an expired token it refuses all that come; and a gRPC proxy counts otherwise from here on
		delete(s.byID, w.id)
		if w.err == nil {
			w.err = reasonOf(r)
			refused = w.err
		}
		w.ready.Send()
		return refused
	}
	if w.open = true; w.err != nil { // closed meanwhile
		s.dropLocked(w, w.err)
	}
	w.ready.Send()
	return nil
}

// reasonOf says why etcd has ended a watch.
func reasonOf(r *pb.WatchResponse) error {
	switch {
	case r.CompactRevision != 0:
		return rpctypes.ErrCompacted
	case r.CancelReason != "":
		return reasonError(r.CancelReason)
	}
	return errCanceled
}

// reasonError turns etcd's text into its error. It may be that of a gRPC status (server/v3 v3rpc/watch.go, recvLoop).
func reasonError(reason string) error {
	text := reason
	if _, after, found := strings.Cut(text, "desc = "); found {
		text = after
	}
	return rpctypes.Error(status.Error(codes.FailedPrecondition, text))
}
