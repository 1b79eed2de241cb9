// Package directory follows a service's directory in etcd, and tells how many of its nodes were in and out of service
// at each revision.
package directory

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Directory is one service's. It may be used concurrently.
type Directory struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	keys     map[string]bool
	out      int // of service at the last revision
	overshot string
}

// Follow follows a directory from etcd's first revision on, until Stop or the end of the test.
func Follow(tb testing.TB, c *clientv3.Client, dir string) *Directory {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	d := &Directory{cancel: cancel, keys: make(map[string]bool)}
	tb.Cleanup(d.Stop)
	events := c.Watch(ctx, dir, clientv3.WithPrefix(), clientv3.WithRev(1))
	d.done.Go(func() {
		for answer := range events {
			if err := answer.Err(); err != nil && ctx.Err() == nil {
				tb.Errorf("watch %q: %v", dir, err)
			}
			d.take(answer.Events)
		}
	})
	return d
}

// Stop ends the watch. It may be called more than once.
func (d *Directory) Stop() {
	d.cancel()
	d.done.Wait()
}

func (d *Directory) take(events []*clientv3.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, e := range events {
		if e.Type == clientv3.EventTypePut {
			d.keys[string(e.Kv.Key)] = true
		} else {
			delete(d.keys, string(e.Kv.Key))
		}
		if i+1 < len(events) && events[i+1].Kv.ModRevision == e.Kv.ModRevision {
			continue // the middle of a transaction
		}
		in, out := d.countLocked()
		if out > d.out && out > in && d.overshot == "" { // and not because a process in service ended
			d.overshot = fmt.Sprintf("%d in service and %d out at revision %d", in, out, e.Kv.ModRevision)
		}
		d.out = out
	}
}

func (d *Directory) countLocked() (in, out int) {
	for key := range d.keys {
		if strings.Contains(key, "/.out-of-service/") {
			out++
		} else {
			in++
		}
	}
	return in, out
}

// Count returns how many nodes are in and out of service.
func (d *Directory) Count() (in, out int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.countLocked()
}

// Overshot says when a node went out of service for the first time although half of them were out, or "".
func (d *Directory) Overshot() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.overshot
}
