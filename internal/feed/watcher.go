package feed

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// Watcher hands out the changes of a feed. Several goroutines may call Next, each change going to one of them.
type Watcher struct {
	Service string          // "" for all
	Context context.Context // ends with the watcher
	End     context.CancelCauseFunc

	mu      sync.Mutex
	backlog backlog
	wake    signal.Signal // the backlog may not be empty
}

// NewWatcher returns a watcher that ends with ctx or Stop.
func NewWatcher(ctx context.Context, service string) *Watcher {
	w := &Watcher{Service: service, wake: signal.New()}
	w.Context, w.End = context.WithCancelCause(ctx)
	return w
}

// push adds changes that led to now to what Next returns.
func (w *Watcher) push(changes []catalog.Change, now *catalog.Catalog, seen seenFunc) {
	if len(changes) == 0 {
		return
	}
	w.mu.Lock()
	w.backlog.push(changes, time.Now(), now, seen)
	w.mu.Unlock()
	w.wake.Send()
}

// Next returns the next change. It blocks until there is one. After stop, or when its context or the registry ended, it
// returns why.
func (w *Watcher) Next() (catalog.Change, error) {
	for {
		if w.Context.Err() != nil {
			return catalog.Change{}, context.Cause(w.Context)
		}
		w.mu.Lock()
		change, ok := w.backlog.pop()
		more := len(w.backlog.items) > 0
		w.mu.Unlock()
		if more {
			w.wake.Send()
		}
		if ok {
			return change, nil
		}
		select {
		case <-w.wake:
		case <-w.Context.Done():
		}
	}
}

func (w *Watcher) queued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.backlog.items)
}

// ErrStopped says that stop was called.
var ErrStopped = errors.New("watcher stopped")

// Stop ends the watcher and unblocks next. It may be called any number of times.
func (w *Watcher) Stop() { w.End(ErrStopped) }
