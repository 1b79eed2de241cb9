package etcd

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/feed"
	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
)

func TestAWatcherEndsAsGoMicroExpects(t *testing.T) {
	f := stage(t, "greeter")
	because := errors.New("because")
	for name, c := range map[string]struct {
		end  func(*feed.Watcher)
		want func(error)
	}{
		"stopped": {
			(*feed.Watcher).Stop, func(err error) { require.Equal(t, registry.ErrWatcherStopped, err, "go-micro compares it") },
		},
		"ended": {func(w *feed.Watcher) { w.End(because) }, func(err error) {
			require.ErrorIs(t, err, registry.ErrWatcherStopped)
			require.ErrorIs(t, err, because)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := f.registry.Watch(registry.WatchService("greeter"))
			require.NoError(t, err)
			c.end(w.(gomicro.Watcher).Watcher)
			for range 2 {
				_, err = w.Next()
				c.want(err)
			}
		})
	}
}
