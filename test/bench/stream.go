package main

import (
	"context"
	"fmt"
	"time"

	"github.com/zeromicro/go-zero/core/discov"
	"go-micro.dev/v4/registry"
	registry5 "go-micro.dev/v5/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

// stream is one watch of one service: the time at which its caller got each event.
type stream struct {
	events chan time.Time
	stop   func()
}

// streamSize is more than any burst, so that nobody waits for the benchmark.
const streamSize = 1 << 15

func newStream(stop func()) *stream {
	return &stream{events: make(chan time.Time, streamSize), stop: stop}
}

// got notes some events. What nobody will read any more is dropped.
func (s *stream) got(events int) {
	now := time.Now()
	for range events {
		select {
		case s.events <- now:
		default:
		}
	}
}

// await returns when the next event came.
func (s *stream) await(patience time.Duration) (time.Time, bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case at := <-s.events:
		return at, true
	case <-timer.C:
		return time.Time{}, false
	}
}

// drain forgets what has come so far.
func (s *stream) drain() {
	for len(s.events) > 0 {
		<-s.events
	}
}

// follower is a competitor that watches.
type follower struct {
	who, note string
	open      func(name string) (*stream, error)
	change    func(name string, node, stamp int) clientv3.Op // what its providers would write
}

const (
	zeroStrings = "delivers strings, undecoded"
	losesEvents = "of the events of one response it delivers the first"
)

// followers returns everybody who can watch, ours first and the bare client second.
func (r *run) followers() (all []follower, end func(), err error) {
	mine, err := openOurs(r.store.endpoint)
	if err != nil {
		return nil, nil, err
	}
	old, v5 := openPlugin(r.store.endpoint), openFive(r.store.endpoint)
	micro := func(name string, node, stamp int) clientv3.Op {
		return clientv3.OpPut(key(name, node), value(name, node, stamp))
	}
	return []follower{
		{who: ours, change: micro, open: watchRegistry(mine)},
		{who: bare, change: micro, open: r.store.watchBare(r.ctx), note: "delivers bytes, undecoded"},
		{who: plugin, change: micro, open: watchRegistry(old), note: losesEvents},
		{who: five, change: micro, open: watchRegistry5(v5), note: losesEvents},
		{who: zero, open: r.store.watchZero, note: zeroStrings, change: func(name string, node, stamp int) clientv3.Op {
			return clientv3.OpPut(fmt.Sprintf("%s%s/%d", zeroPrefix, name, node), value(name, node, stamp))
		}},
		{who: naming, open: r.store.watchNaming(r.ctx), change: func(name string, node, stamp int) clientv3.Op {
			return clientv3.OpPut(fmt.Sprintf("%s%s/%d", namingPrefix, name, node), endpointValue(name, node, stamp))
		}},
	}, func() { closeAll(mine, old, v5) }, nil
}

// readStream notes what next returns until it fails.
func readStream(stop func(), next func() error) *stream {
	s := newStream(stop)
	go func() {
		for next() == nil {
			s.got(1)
		}
	}()
	return s
}

func watchRegistry(r registry.Registry) func(string) (*stream, error) {
	return func(name string) (*stream, error) {
		w, err := r.Watch(registry.WatchService(name))
		if err != nil {
			return nil, err
		}
		return readStream(w.Stop, func() error { _, err := w.Next(); return err }), nil
	}
}

func watchRegistry5(r registry5.Registry) func(string) (*stream, error) {
	return func(name string) (*stream, error) {
		w, err := r.Watch(registry5.WatchService(name))
		if err != nil {
			return nil, err
		}
		return readStream(w.Stop, func() error { _, err := w.Next(); return err }), nil
	}
}

func (s *store) watchBare(ctx context.Context) func(string) (*stream, error) {
	return func(name string) (*stream, error) {
		ctx, cancel := context.WithCancel(ctx)
		events := newStream(cancel)
		responses := s.client.Watch(ctx, microPrefix+name+"/", clientv3.WithPrefix())
		go func() {
			for response := range responses {
				events.got(len(response.Events))
			}
		}()
		return events, nil
	}
}

func (s *store) watchZero(name string) (*stream, error) {
	events := newStream(nil)
	sub, err := discov.NewSubscriber([]string{s.endpoint}, zeroPrefix+name, discov.WithContainer(additions{events}))
	if err != nil {
		return nil, err
	}
	events.stop = sub.Close
	return events, nil
}

// additions takes the place of go-zero's own list of values, which can't tell a change's two steps apart.
type additions struct{ stream *stream }

func (a additions) OnAdd(discov.KV)     { a.stream.got(1) }
func (a additions) OnDelete(discov.KV)  {}
func (a additions) AddListener(func())  {}
func (a additions) GetValues() []string { return nil }

func (s *store) watchNaming(ctx context.Context) func(string) (*stream, error) {
	return func(name string) (*stream, error) {
		m, err := endpoints.NewManager(s.client, namingPrefix+name)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(ctx)
		updates, err := m.NewWatchChannel(ctx)
		if err != nil {
			cancel()
			return nil, err
		}
		events := newStream(cancel)
		go func() {
			for batch := range updates {
				events.got(len(batch))
			}
		}()
		return events, nil
	}
}

// skipReplay forgets what a new watch says of the past: a replay, or what is there already.
func skipReplay(s *stream) {
	for {
		if _, more := s.await(50 * time.Millisecond); !more {
			return
		}
	}
}
