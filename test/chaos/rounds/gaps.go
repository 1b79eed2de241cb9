package rounds

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// gapWatch sees each moment at which one of some keys is missing: it watches them at a member that nothing happens to.
type gapWatch struct {
	client *clientv3.Client
	prefix string
	wanted map[string]bool
	done   chan struct{}
	cancel context.CancelFunc

	// Of the goroutine, until done is closed.
	missingSince map[string]time.Time
	gaps         []gap
	err          error
}

// gap is a time in which a key was missing.
type gap struct {
	key    string
	at     time.Time
	length time.Duration
	after  time.Duration // the fault
}

// watchGaps begins when all keys are there.
func watchGaps(ctx context.Context, client *clientv3.Client, prefix string, keys []string) (*gapWatch, error) {
	w := &gapWatch{
		client:       client,
		prefix:       prefix,
		wanted:       map[string]bool{},
		done:         make(chan struct{}),
		missingSince: map[string]time.Time{},
	}
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
	go w.run(changes)
	return w, nil
}

const endKey = "end"

func (w *gapWatch) run(changes clientv3.WatchChan) {
	defer close(w.done)
	for change := range changes {
		if w.err = change.Err(); w.err != nil {
			return
		}
		for _, e := range change.Events {
			if !w.observe(e) {
				return
			}
		}
	}
	w.err = fmt.Errorf("the watch of %s ended", w.prefix)
}

// observe returns false at the end.
func (w *gapWatch) observe(e *clientv3.Event) bool {
	key := strings.TrimPrefix(string(e.Kv.Key), w.prefix)
	switch at, missing := w.missingSince[key]; {
	case key == endKey:
		for key, at := range w.missingSince {
			w.gaps = append(w.gaps, gap{key: key, at: at, length: time.Since(at)})
		}
		return false
	case !w.wanted[key]:
	case e.Type == clientv3.EventTypeDelete:
		w.missingSince[key] = time.Now()
	case missing:
		w.gaps = append(w.gaps, gap{key: key, at: at, length: time.Since(at)})
		delete(w.missingSince, key)
	}
	return true
}

// end returns what was missing until now.
func (w *gapWatch) end(ctx context.Context) ([]gap, error) {
	defer w.cancel()
	if _, err := w.client.Put(ctx, w.prefix+endKey, ""); err != nil {
		return nil, err
	}
	select {
	case <-w.done:
		return w.gaps, w.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
