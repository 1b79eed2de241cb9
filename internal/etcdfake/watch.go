package etcdfake

import (
	"context"
	"errors"
	"io"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// stream is a stream that a client has opened, of watches or of keepalives.
type stream struct {
	etcd *Server
	ctx  context.Context
	end  context.CancelCauseFunc

	// Of watches, under the etcd's mutex.
	queue   []*pb.WatchResponse
	wake    signal.Signal
	opened  int64 // watches so far
	expired bool  // its token is
}

// serveStream serves a stream until the client or a fault ends it.
func (e *Server) serveStream(s grpc.ServerStream, serve func(*stream) error) error {
	stream := &stream{etcd: e, wake: signal.New()}
	stream.ctx, stream.end = context.WithCancelCause(s.Context())
	defer stream.end(nil)
	e.Mu.Lock()
	e.streams[stream] = struct{}{}
	e.Mu.Unlock()
	defer func() {
		e.Mu.Lock()
		defer e.Mu.Unlock()
		delete(e.streams, stream)
		for w := range e.Watches {
			if w.stream == stream {
				delete(e.Watches, w)
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
func (s *stream) push(r *pb.WatchResponse) {
	s.queue = append(s.queue, r)
	s.wake.Send()
}

func (s *stream) take() []*pb.WatchResponse {
	s.etcd.Mu.Lock()
	defer s.etcd.Mu.Unlock()
	queue := s.queue
	s.queue = nil
	return queue
}

// watch is one watch on a stream.
type watch struct {
	stream     *stream
	id         int64
	first, end []byte
	next       int64 // the revision from which it wants events
	synced     bool  // it has had all that happened before
}

// Watch serves the method of that name.
func (e *Server) Watch(s pb.Watch_WatchServer) error {
	return e.serveStream(s, func(stream *stream) error {
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
func (e *Server) control(stream *stream, r *pb.WatchRequest) {
	if create := r.GetCreateRequest(); create != nil {
		_, err := e.handle(stream.ctx, "Watch", create, func() (any, error) { return nil, e.openWatch(stream, create) })
		if err != nil {
			e.Mu.Lock()
			defer e.Mu.Unlock()
			stream.push(
				&pb.WatchResponse{Header: e.Store.header(), WatchId: -1, Created: true, Canceled: true, CancelReason: err.Error()},
			)
		}
		return
	}
	e.Mu.Lock()
	defer e.Mu.Unlock()
	for w := range e.Watches {
		if w.stream == stream && w.id == r.GetCancelRequest().GetWatchId() {
			w.cancel("")
		}
	}
}

// syncTime is how long a watch from the past waits until it is served (server/v3 storage/mvcc/watchable_store.go,
// syncWatchersLoop).
const syncTime = 100 * time.Millisecond

func (e *Server) openWatch(stream *stream, r *pb.WatchCreateRequest) error {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	if _, open := e.streams[stream]; !open {
		return nil
	}
	if stream.expired {
		return rpctypes.ErrGRPCInvalidAuthToken
	}
	w := &watch{stream: stream, id: stream.opened, first: r.Key, end: r.RangeEnd, next: r.StartRevision}
	stream.opened++
	if w.next == 0 {
		w.next = e.Store.Revision + 1
	}
	w.synced = w.next > e.Store.Revision
	e.Watches[w] = struct{}{}
	stream.push(&pb.WatchResponse{Header: e.Store.header(), WatchId: w.id, Created: true})
	if !w.synced {
		time.AfterFunc(syncTime, w.sync)
	}
	return nil
}

// sync sends what happened before the watch was opened, all at once.
func (w *watch) sync() {
	e := w.stream.etcd
	e.Mu.Lock()
	defer e.Mu.Unlock()
	if _, ok := e.Watches[w]; !ok {
		return
	}
	if w.next < e.Store.Compacted {
		w.stream.push(
			&pb.WatchResponse{Header: e.Store.header(), WatchId: w.id, Canceled: true, CompactRevision: e.Store.Compacted},
		)
		delete(e.Watches, w)
		return
	}
	w.synced = true
	w.notify(e.Store.eventsFrom(w.next))
	w.next = max(w.next, e.Store.Revision+1)
}

// notify sends the events that the watch wants. It needs the etcd's mutex.
func (w *watch) notify(events []*mvccpb.Event) {
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
		w.stream.push(&pb.WatchResponse{Header: e.Store.header(), WatchId: w.id, Events: wanted})
	}
}

// cancel ends a watch. It needs the etcd's mutex.
func (w *watch) cancel(reason string) {
	delete(w.stream.etcd.Watches, w)
	w.stream.push(
		&pb.WatchResponse{Header: w.stream.etcd.Store.header(), WatchId: w.id, Canceled: true, CancelReason: reason},
	)
}
