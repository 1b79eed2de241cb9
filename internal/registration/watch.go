package registration

import (
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/etcderr"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
)

// This file is how a registration watches its keys.

// ready receives when a watch has something to say; never for none.
func ready(w *etcdconn.Watch) <-chan struct{} {
	if w == nil {
		return nil
	}
	return w.Ready()
}

// take takes in what a watch has to say, and reports whether that is something to repair. An error is that of a watch
// that failed.
func (g *registration) take(w *etcdconn.Watch) (disturbed bool, err error) {
	events, open, err := w.Take()
	if err != nil {
		return false, g.watchFailed(err, open)
	}
	if open {
		g.setWatchError(nil)
	}
	return !g.observe(events), nil
}

// watchFailed takes note of why a watch has ended. If etcd didn't even open it, that is a trouble of its
// own.
func (g *registration) watchFailed(err error, wasOpen bool) error {
	g.stopWatch() // so that the key is read again
	g.setCause(metrics.RestoreWatchEnded)
	if !wasOpen && (etcderr.IsAnswer(err) || errors.Is(err, etcdconn.ErrUnconfirmed)) {
		g.setWatchError(fmt.Errorf("watch: %w", err))
	}
	return err
}

// startWatch watches the key from what is known of it on, and the notice's as long as there is one instead of a record,
// unless they are watched already. Whoever puts a notice deletes the record.
func (g *registration) startWatch() {
	if !g.noticed {
		g.stopNoticeWatch()
	}
	needed := g.noticed && g.noticeWatch == nil
	if g.watch != nil && !needed {
		return
	}
	cl := g.shared.Connector.Current()
	if cl == nil { // replaced a moment ago
		g.resync(metrics.RestoreClientReplaced)
		g.wake.Send()
		return
	}
	if g.watch == nil {
		g.watch = g.shared.Connector.Watch(cl, g.key, "", g.from)
	}
	if needed {
		g.noticeWatch = g.shared.Connector.Watch(cl, g.noticeKey, "", g.from)
	}
}

func (g *registration) stopWatch() {
	if g.watch != nil {
		g.watch.Close()
		g.watch = nil
	}
	g.stopNoticeWatch()
}

func (g *registration) stopNoticeWatch() {
	if g.noticeWatch != nil {
		g.noticeWatch.Close()
		g.noticeWatch = nil
	}
}

// observe takes in what happened to the key, or to its notice's, and reports whether there is nothing to repair. What
// happens while there is no record is looked for at both keys.
func (g *registration) observe(events []*clientv3.Event) (well bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range events {
		if e.Kv.ModRevision <= g.revision {
			continue
		}
		o, cause := ownerUnknown, metrics.RestoreDeleted
		if e.Type == clientv3.EventTypePut {
			cause = metrics.RestoreOverwritten
			if g.owner != ownerNotice && string(e.Kv.Key) == g.key {
				o = g.classify(e.Kv, g.desired)
			}
		}
		if g.owner == ownerOther {
			cause = metrics.RestoreOwnerLeft
		}
		if o == ownerUnknown {
			g.resyncLocked(cause)
		}
		g.foundLocked(o, e.Kv.ModRevision)
	}
	return g.owner != ownerUnknown
}
