package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// watcher is a [registry.Watcher] over a mirror. Next may be called by several goroutines,
// each result going to one of them.
type watcher struct {
	mirror  *mirror
	service string // "" for all
	ctx     context.Context
	end     context.CancelCauseFunc

	// Under the mirror's mutex.
	fromStart bool // Watch returned before the first list, so all of that is news

	mu      sync.Mutex
	backlog backlog
	wake    chan struct{} // has a token while the backlog may not be empty
}

// newWatcher returns a watcher that ends with ctx or Stop.
func newWatcher(ctx context.Context, service string) *watcher {
	w := &watcher{service: service, wake: make(chan struct{}, 1)}
	w.ctx, w.end = context.WithCancelCause(ctx)
	return w
}

// push adds changes that led to now to what Next returns.
func (w *watcher) push(changes []catalog.Change, now *catalog.Catalog, seen seenFunc) {
	if len(changes) == 0 {
		return
	}
	w.mu.Lock()
	w.backlog.push(changes, time.Now(), now, seen)
	w.mu.Unlock()
	w.ring()
}

func (w *watcher) ring() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Next returns the next change. The result belongs to the caller. It blocks until there is
// one; after Stop, or when WatchContext or the registry ended, it returns an error that is
// registry.ErrWatcherStopped or wraps it with the cause. It never fails for another reason.
func (w *watcher) Next() (*registry.Result, error) {
	for {
		if w.ctx.Err() != nil {
			return nil, w.stopped()
		}
		w.mu.Lock()
		change, ok := w.backlog.pop()
		more := len(w.backlog.items) > 0
		w.mu.Unlock()
		if more {
			w.ring()
		}
		if ok {
			return toResult(change), nil
		}
		select {
		case <-w.wake:
		case <-w.ctx.Done():
		}
	}
}

func (w *watcher) queued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.backlog.items)
}

func (w *watcher) stopped() error {
	if cause := context.Cause(w.ctx); !errors.Is(cause, registry.ErrWatcherStopped) {
		return fmt.Errorf("%w: %w", registry.ErrWatcherStopped, cause)
	}
	return registry.ErrWatcherStopped
}

// Stop ends the watcher and unblocks Next. It may be called any number of times.
func (w *watcher) Stop() {
	w.end(registry.ErrWatcherStopped)
}
