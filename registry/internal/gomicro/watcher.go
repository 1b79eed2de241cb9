package gomicro

import (
	"errors"
	"fmt"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/feed"
)

// Watcher is a watcher as go-micro knows it.
type Watcher struct{ *feed.Watcher }

// Next returns the next change. The result belongs to the caller. It blocks until there is one; after Stop, or when
// WatchContext or the registry ended, it returns an error that is registry.ErrWatcherStopped or wraps it with the
// cause. It never fails for another reason.
func (w Watcher) Next() (*registry.Result, error) {
	change, err := w.Watcher.Next()
	switch {
	case errors.Is(err, feed.ErrStopped):
		return nil, registry.ErrWatcherStopped
	case err != nil:
		return nil, fmt.Errorf("%w: %w", registry.ErrWatcherStopped, err)
	}
	return Result(change), nil
}
