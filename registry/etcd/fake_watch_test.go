package etcd

import (
	"context"
	"errors"
	"io"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
)

// fakeStream is a stream that a client has opened, of watches or of keepalives.
type fakeStream struct {
	etcd *fakeEtcd
	ctx  context.Context
	end  context.CancelCauseFunc

	// Of watches, under the etcd's mutex.
	queue   []*pb.WatchResponse
	wake    chan struct{}
	opened  int64 // watches so far
	expired bool  // its token is
}

// serveStream serves a stream until the client or a fault ends it.
func (e *fakeEtcd) serveStream(s grpc.ServerStream, serve func(*fakeStream) error) error {
	stream := &fakeStream{etcd: e, wake: make(chan struct{}, 1)}
	stream.ctx, stream.end = context.WithCancelCause(s.Context())
	defer stream.end(nil)
	e.mu.Lock()
	e.streams[stream] = struct{}{}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.streams, stream)
		for w := range e.watches {
			if w.stream == stream {
				delete(e.watches, w)
			}
		}
	}()
	go func() {
		err := serve(stream)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		stream.end(&streamError{err})
	}()
	<-stream.ctx.Done()
	var end *streamError
	if errors.As(context.Cause(stream.ctx), &end) {
		return end.err
	}
	return context.Cause(stream.ctx)
}

// streamError is how a stream ends by itself, nil for well.
type streamError struct{ err error }

func (*streamError) Error() string { return "stream ended" }

// push sends an answer after those before it. It needs the etcd's mutex.
func (s *fakeStream) push(r *pb.WatchResponse) {
	s.queue = append(s.queue, r)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *fakeStream) take() []*pb.WatchResponse {
	s.etcd.mu.Lock()
	defer s.etcd.mu.Unlock()
	queue := s.queue
	s.queue = nil
	return queue
}

// fakeWatch is one watch on a stream.
type fakeWatch struct {
	stream     *fakeStream
	id         int64
	first, end []byte
	next       int64 // the revision from which it wants events
	synced     bool  // it has had all that happened before
}

func (e *fakeEtcd) Watch(s pb.Watch_WatchServer) error {
	return e.serveStream(s, func(stream *fakeStream) error {
		go func() {
			for {
				r, err := s.Recv()
				if err != nil {
					stream.end(&streamError{nil})
					return
				}
				e.control(stream, r)
			}
		}()
		for {
			select {
			case <-stream.wake:
			case <-stream.ctx.Done():
				return nil
			}
			for _, answer := range stream.take() {
				if err := s.Send(answer); err != nil {
					return err
				}
			}
		}
	})
}

// control opens or cancels a watch.
func (e *fakeEtcd) control(stream *fakeStream, r *pb.WatchRequest) {
	if create := r.GetCreateRequest(); create != nil {
		_, err := e.handle(stream.ctx, "Watch", create, func() (any, error) { return nil, e.openWatch(stream, create) })
		if err != nil {
			e.mu.Lock()
			defer e.mu.Unlock()
			stream.push(&pb.WatchResponse{Header: e.store.header(), WatchId: -1, Created: true, Canceled: true, CancelReason: err.Error()})
		}
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for w := range e.watches {
		if w.stream == stream && w.id == r.GetCancelRequest().GetWatchId() {
			w.cancel("")
		}
	}
}

// syncTime is how long a watch from the past waits until it is served (server/v3
// storage/mvcc/watchable_store.go, syncWatchersLoop).
const syncTime = 100 * time.Millisecond

func (e *fakeEtcd) openWatch(stream *fakeStream, r *pb.WatchCreateRequest) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, open := e.streams[stream]; !open {
		return nil
	}
	if stream.expired {
		return rpctypes.ErrGRPCInvalidAuthToken
	}
	w := &fakeWatch{stream: stream, id: stream.opened, first: r.Key, end: r.RangeEnd, next: r.StartRevision}
	stream.opened++
	if w.next == 0 {
		w.next = e.store.revision + 1
	}
	w.synced = w.next > e.store.revision
	e.watches[w] = struct{}{}
	stream.push(&pb.WatchResponse{Header: e.store.header(), WatchId: w.id, Created: true})
	if !w.synced {
		time.AfterFunc(syncTime, w.sync)
	}
	return nil
}

// sync sends what happened before the watch was opened, all at once.
func (w *fakeWatch) sync() {
	e := w.stream.etcd
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.watches[w]; !ok {
		return
	}
	if w.next < e.store.compacted {
		w.stream.push(&pb.WatchResponse{Header: e.store.header(), WatchId: w.id, Canceled: true, CompactRevision: e.store.compacted})
		delete(e.watches, w)
		return
	}
	w.synced = true
	w.notify(e.store.eventsFrom(w.next))
	w.next = max(w.next, e.store.revision+1)
}

// notify sends the events that the watch wants. It needs the etcd's mutex.
func (w *fakeWatch) notify(events []*mvccpb.Event) {
	e := w.stream.etcd
	if !w.synced || e.muted {
		return
	}
	var wanted []*mvccpb.Event
	for _, event := range events {
		if event.Kv.ModRevision >= w.next && within(event.Kv.Key, w.first, w.end) {
			wanted = append(wanted, event)
		}
	}
	if len(wanted) > 0 {
		w.stream.push(&pb.WatchResponse{Header: e.store.header(), WatchId: w.id, Events: wanted})
	}
}

// cancel ends a watch. It needs the etcd's mutex.
func (w *fakeWatch) cancel(reason string) {
	delete(w.stream.etcd.watches, w)
	w.stream.push(&pb.WatchResponse{Header: w.stream.etcd.store.header(), WatchId: w.id, Canceled: true, CancelReason: reason})
}
