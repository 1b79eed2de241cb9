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

// feed is one watch of one service: the time at which its caller got each event.
type feed struct {
	events chan time.Time
	stop   func()
}

// maxBurst is more than any burst, so that nobody waits for the benchmark.
const maxBurst = 1 << 15

func newFeed(stop func()) *feed { return &feed{events: make(chan time.Time, maxBurst), stop: stop} }

// got notes some events. What nobody will read any more is dropped.
func (f *feed) got(events int) {
	now := time.Now()
	for range events {
		select {
		case f.events <- now:
		default:
		}
	}
}

// await returns when the next event came.
func (f *feed) await(patience time.Duration) (time.Time, bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case at := <-f.events:
		return at, true
	case <-timer.C:
		return time.Time{}, false
	}
}

// drain forgets what has come so far.
func (f *feed) drain() {
	for len(f.events) > 0 {
		<-f.events
	}
}

// follower is a competitor at watching.
type follower struct {
	who, note string
	open      func(name string) (*feed, error)
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
		{who: ours, change: micro, open: feedOf(mine)},
		{who: bare, change: micro, open: r.store.feedBare(r.ctx), note: "delivers bytes, undecoded"},
		{who: plugin, change: micro, open: feedOf(old), note: losesEvents},
		{who: five, change: micro, open: feedOf5(v5), note: losesEvents},
		{who: zero, open: r.store.feedZero, note: zeroStrings, change: func(name string, node, stamp int) clientv3.Op {
			return clientv3.OpPut(fmt.Sprintf("%s%s/%d", zeroPrefix, name, node), value(name, node, stamp))
		}},
		{who: naming, open: r.store.feedNaming(r.ctx), change: func(name string, node, stamp int) clientv3.Op {
			return clientv3.OpPut(fmt.Sprintf("%s%s/%d", namingPrefix, name, node), endpointValue(name, node, stamp))
		}},
	}, func() { shut(mine, old, v5) }, nil
}

// pump feeds what next returns until it fails.
func pump(stop func(), next func() error) *feed {
	f := newFeed(stop)
	go func() {
		for next() == nil {
			f.got(1)
		}
	}()
	return f
}

func feedOf(r registry.Registry) func(string) (*feed, error) {
	return func(name string) (*feed, error) {
		w, err := r.Watch(registry.WatchService(name))
		if err != nil {
			return nil, err
		}
		return pump(w.Stop, func() error { _, err := w.Next(); return err }), nil
	}
}

func feedOf5(r registry5.Registry) func(string) (*feed, error) {
	return func(name string) (*feed, error) {
		w, err := r.Watch(registry5.WatchService(name))
		if err != nil {
			return nil, err
		}
		return pump(w.Stop, func() error { _, err := w.Next(); return err }), nil
	}
}

func (s *store) feedBare(ctx context.Context) func(string) (*feed, error) {
	return func(name string) (*feed, error) {
		ctx, cancel := context.WithCancel(ctx)
		f := newFeed(cancel)
		events := s.client.Watch(ctx, microPrefix+name+"/", clientv3.WithPrefix())
		go func() {
			for response := range events {
				f.got(len(response.Events))
			}
		}()
		return f, nil
	}
}

func (s *store) feedZero(name string) (*feed, error) {
	f := newFeed(nil)
	sub, err := discov.NewSubscriber([]string{s.endpoint}, zeroPrefix+name, discov.WithContainer(additions{f}))
	if err != nil {
		return nil, err
	}
	f.stop = sub.Close
	return f, nil
}

// additions takes the place of go-zero's own list of values, which can't tell a change's two steps apart.
type additions struct{ feed *feed }

func (a additions) OnAdd(discov.KV)     { a.feed.got(1) }
func (a additions) OnDelete(discov.KV)  {}
func (a additions) AddListener(func())  {}
func (a additions) GetValues() []string { return nil }

func (s *store) feedNaming(ctx context.Context) func(string) (*feed, error) {
	return func(name string) (*feed, error) {
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
		f := newFeed(cancel)
		go func() {
			for batch := range updates {
				f.got(len(batch))
			}
		}()
		return f, nil
	}
}
