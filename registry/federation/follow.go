package federation

import (
	"context"
	"sync"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/retry"
	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// This file keeps what data centers say up to date. A registry's events only say what to read again; what counts is
// what its GetService says. So registries that lose events, or reorder them, work as well.

// rereadTime is how often everything is read again, as go-micro's cache does (registry/cache/cache.go, DefaultTTL).
const rereadTime = time.Minute

// untilDone calls f until it succeeds or ctx ends.
func untilDone(ctx context.Context, f func() error) {
	for failures := 1; ctx.Err() == nil; failures++ {
		err := f()
		if err == nil {
			return
		}
		retry.Sleep(ctx, retry.Backoff(failures, err))
	}
}

// follow calls all at the beginning, after each interruption and failure, and from time to time, and changed with the
// name of a service that may have changed, of all or of the given one, until ctx ends.
func (d *datacenter) follow(ctx context.Context, service string, all func() error, changed func(name string) error) {
	for failures := 0; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := d.watch(ctx, service, all, changed)
		if time.Since(began) > retry.Steady {
			failures = 0
		}
		retry.Sleep(ctx, retry.Backoff(failures, err))
	}
}

// watch is follow until the watcher fails, and returns why.
func (d *datacenter) watch(
	ctx context.Context, service string, all func() error, changed func(name string) error,
) error {
	ctx, stop := context.WithCancel(ctx)
	t := &watching{began: make(chan struct{}), ended: make(chan struct{}), news: signal.New()}
	go t.listen(ctx, d.registry, service)
	defer func() { stop(); <-t.ended }()
	again := time.NewTimer(0) // at once: the official plugin's Watch blocks while etcd is away
	defer again.Stop()
	failures, began := 0, t.began
	note := func(err error, next time.Duration) {
		if failures++; err == nil {
			failures = 0
		} else {
			next = retry.Backoff(failures, err)
		}
		if next > 0 {
			again.Reset(next)
		}
	}
	for {
		select {
		case <-began:
			began = nil
			note(all(), rereadTime)
		case <-again.C:
			note(all(), rereadTime)
		case <-t.news:
			start := time.Now()
			for name := range t.take() {
				note(changed(name), 0)
			}
			retry.Sleep(ctx, min(maxRest, restShare*time.Since(start)))
		case <-t.ended:
			if !signal.IsClosed(t.began) {
				_ = all() // which may work all the same
			}
			return t.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Between the events of a large service, or of many, nothing is read for a while, so that a flood of them leaves time
// for other work. Until then they come to one reading.
const (
	restShare = 4 // times what the reading took
	maxRest   = answerTime / 4
)

// watching is a watcher, and the names of the services that it has told about and that haven't been read again yet.
type watching struct {
	began chan struct{} // closed when there is a watcher
	ended chan struct{} // closed when there is none any more
	err   error         // why, then
	news  signal.Signal
	mu    sync.Mutex
	names map[string]bool
}

// listen takes what a watcher tells, until that or ctx ends.
func (t *watching) listen(ctx context.Context, r registry.Registry, service string) {
	defer close(t.ended)
	opts := []registry.WatchOption{registry.WatchContext(ctx)}
	if service != "" {
		opts = append(opts, registry.WatchService(service))
	}
	w, err := r.Watch(opts...)
	if err != nil {
		t.err = err
		return
	}
	stop := context.AfterFunc(ctx, w.Stop)
	defer func() {
		if stop() {
			w.Stop()
		}
	}()
	close(t.began)
	for ctx.Err() == nil {
		result, err := w.Next()
		if err != nil || result == nil || result.Service == nil { // who tells nothing would do so again and again
			t.err = err
			return
		}
		if name := result.Service.Name; service == "" || name == service {
			t.add(name)
		}
	}
}

func (t *watching) add(name string) {
	t.mu.Lock()
	if t.names == nil {
		t.names = make(map[string]bool)
	}
	t.names[name] = true
	t.mu.Unlock()
	t.news.Send()
}

func (t *watching) take() map[string]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := t.names
	t.names = nil
	return names
}
