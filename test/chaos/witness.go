package chaos

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// witness sees each moment at which one of some keys is missing: it watches them at a member that nothing happens to.
type witness struct {
	client *clientv3.Client
	prefix string
	wanted map[string]bool
	done   chan struct{}
	cancel context.CancelFunc

	// Of the goroutine, until done is closed.
	gone   map[string]time.Time
	losses []loss
	err    error
}

// loss is a time in which a key was missing.
type loss struct {
	key   string
	at    time.Time
	long  time.Duration
	after time.Duration // the fault
}

// attend begins when all keys are there.
func attend(ctx context.Context, client *clientv3.Client, prefix string, keys []string) (*witness, error) {
	w := &witness{client: client, prefix: prefix, wanted: map[string]bool{}, done: make(chan struct{}), gone: map[string]time.Time{}}
	for _, k := range keys {
		w.wanted[k] = true
	}
	now, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	there := 0
	for _, kv := range now.Kvs {
		if w.wanted[strings.TrimPrefix(string(kv.Key), prefix)] {
			there++
		}
	}
	if there != len(keys) {
		return nil, fmt.Errorf("%d of %d keys are there", there, len(keys))
	}
	ctx, w.cancel = context.WithCancel(ctx)
	changes := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(now.Header.Revision+1))
	go w.look(changes)
	return w, nil
}

const endKey = "end"

func (w *witness) look(changes clientv3.WatchChan) {
	defer close(w.done)
	for change := range changes {
		if w.err = change.Err(); w.err != nil {
			return
		}
		for _, e := range change.Events {
			if !w.see(e) {
				return
			}
		}
	}
	w.err = fmt.Errorf("the watch of %s ended", w.prefix)
}

// see returns false at the end.
func (w *witness) see(e *clientv3.Event) bool {
	key := strings.TrimPrefix(string(e.Kv.Key), w.prefix)
	switch at, missing := w.gone[key]; {
	case key == endKey:
		for key, at := range w.gone {
			w.losses = append(w.losses, loss{key: key, at: at, long: time.Since(at)})
		}
		return false
	case !w.wanted[key]:
	case e.Type == clientv3.EventTypeDelete:
		w.gone[key] = time.Now()
	case missing:
		w.losses = append(w.losses, loss{key: key, at: at, long: time.Since(at)})
		delete(w.gone, key)
	}
	return true
}

// end returns what was missing until now.
func (w *witness) end(ctx context.Context) ([]loss, error) {
	defer w.cancel()
	if _, err := w.client.Put(ctx, w.prefix+endKey, ""); err != nil {
		return nil, err
	}
	select {
	case <-w.done:
		return w.losses, w.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
