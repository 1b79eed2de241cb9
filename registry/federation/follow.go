package federation

import (
	"context"
	"sync"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/retry"
	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// This file is how what data centers say is kept up to date. A registry's events only say what to read again: what
// counts is what its GetService says. So registries will do that lose events, or tell them in another order.

// rereadTime is how often everything is read again, as go-micro's cache does (registry/cache/cache.go, DefaultTTL).
const rereadTime = time.Minute

// followLocked lets a data center say what it has of the service from now on. Where everything is followed, that brings
// what changes.
func (rt *route) followLocked(dc int) {
	a := &rt.answers[dc]
	if !a.asked.IsZero() {
		return
	}
	a.asked = time.Now()
	ctx, stop := context.WithCancel(rt.ctx)
	a.stop = stop
	rt.registry.group.Run(func() {
		defer stop()
		read := func() { rt.read(dc, registry.GetContext(ctx)) }
		if rt.registry.followsAll() {
			read()
			return
		}
		rt.registry.datacenters[dc].follow(ctx, rt.name, read, func(string) { read() })
	})
}

// follow calls all at the beginning, after each interruption, and from time to time, and changed with the name of a
// service that may have changed, of all or of the given one, until ctx ends.
func (d *datacenter) follow(ctx context.Context, service string, all func(), changed func(name string)) {
	for failures := 0; ctx.Err() == nil; failures++ {
		began := time.Now()
		d.watch(ctx, service, all, changed)
		if time.Since(began) > retry.Steady {
			failures = 0
		}
		retry.Sleep(ctx, retry.Backoff(failures, nil))
	}
}

// watch is follow until the watcher fails.
func (d *datacenter) watch(ctx context.Context, service string, all func(), changed func(name string)) {
	opts := []registry.WatchOption{registry.WatchContext(ctx)}
	if service != "" {
		opts = append(opts, registry.WatchService(service))
	}
	w, err := d.registry.Watch(opts...)
	if err != nil {
		all()
		return
	}
	var told told
	told.news = signal.New()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		told.listen(w)
	}()
	defer func() { <-ended }()
	defer w.Stop()
	again := time.NewTicker(rereadTime)
	defer again.Stop()
	for all(); ; {
		select {
		case <-told.news:
			for name := range told.take() {
				changed(name)
			}
		case <-again.C:
			all()
		case <-ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// told are the names of the services that a watcher has told about and that haven't been read again yet.
type told struct {
	news  signal.Signal
	mu    sync.Mutex
	names map[string]bool
}

// listen takes what a watcher tells, until it ends.
func (t *told) listen(w registry.Watcher) {
	for {
		result, err := w.Next()
		if err != nil {
			return
		}
		if result != nil && result.Service != nil {
			t.add(result.Service.Name)
		}
	}
}

func (t *told) add(name string) {
	t.mu.Lock()
	if t.names == nil {
		t.names = make(map[string]bool)
	}
	t.names[name] = true
	t.mu.Unlock()
	t.news.Send()
}

func (t *told) take() map[string]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := t.names
	t.names = nil
	return names
}
