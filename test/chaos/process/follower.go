package process

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/registry/cache"

	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
)

// follower watches one service and looks it up all the time, itself and through go-micro's cache.
type follower struct {
	name     string
	registry *recorder
	cache    cache.Cache
	running  *sync.WaitGroup // of the process

	mu      sync.Mutex
	watcher registry.Watcher
}

func newFollower(name string, r *recorder, running *sync.WaitGroup) *follower {
	return &follower{name: name, registry: r, cache: cache.New(r.Registry), running: running}
}

// follow begins to follow the service, until ctx ends.
func (f *follower) follow(ctx context.Context) {
	f.running.Go(func() { f.poll(ctx, "registry", f.registry.GetService) })
	f.running.Go(func() { f.poll(ctx, "cache", f.cache.GetService) })
	if err := f.watch(); err != nil {
		f.emit(history.Event{At: time.Now(), Kind: history.KindStopped, Err: message(err)})
	}
}

func (f *follower) emit(e history.Event) {
	e.Name = f.name
	f.registry.output.emit(e)
}

type getService = func(string, ...registry.GetOption) ([]*registry.Service, error)

// poll tells of lookups that say something new or take too long.
func (f *follower) poll(ctx context.Context, via string, get getService) {
	ticker := time.NewTicker(LookEvery)
	defer ticker.Stop()
	timeout := f.registry.timeout
	told, last, before := false, "", time.Time{}
	for {
		began := time.Now()
		services, err := get(f.name)
		if ctx.Err() != nil {
			return
		}
		now := message(err)
		for _, one := range services {
			now += record.Canonical(one)
		}
		took := time.Since(began)
		if !told || now != last || took > timeout {
			f.emit(history.Event{
				At: began, Took: took, Kind: history.KindView, Via: via,
				Services: services, Err: message(err), Bound: timeout, Before: before,
			})
			told, last = true, now
		}
		before = began
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// watcherIDs tell the watchers of a process apart.
var watcherIDs atomic.Int64

// watch looks the service up, begins to watch it, and ends the watcher before.
func (f *follower) watch() error {
	base, err := f.registry.GetService(f.name)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		base = nil
	}
	id := int(watcherIDs.Add(1))
	f.emit(history.Event{At: time.Now(), Kind: history.KindWatching, Watcher: id, Services: slices.Clone(base)})
	var w registry.Watcher
	if err := f.registry.call(history.Event{Op: "watch", Name: f.name}, func() (err error) {
		w, err = f.registry.Watch(registry.WatchService(f.name))
		return err
	}); err != nil {
		return err
	}
	f.mu.Lock()
	before := f.watcher
	f.watcher = w
	f.mu.Unlock()
	if before != nil {
		before.Stop()
	}
	f.running.Go(func() { f.read(w, id) })
	return nil
}

// read tells what a watcher says until it is stopped.
func (f *follower) read(w registry.Watcher, id int) {
	for {
		result, err := w.Next()
		if err != nil {
			f.emit(history.Event{At: time.Now(), Kind: history.KindStopped, Watcher: id, Err: message(err)})
			return
		}
		f.emit(history.Event{
			At: time.Now(), Kind: history.KindSeen, Watcher: id, Action: result.Action, Service: result.Service,
		})
	}
}
