package change

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// This file is how a drain waits for the process of its node.

// awaitOwner waits until the node's process has acknowledged its drain, and says whether it has. A drain with an end
// that it didn't acknowledge is undone.
func (d *drain) awaitOwner(ctx context.Context, t *target, revision int64) error {
	now, err := d.awaitAcknowledgment(ctx, t, revision)
	switch {
	case ctx.Err() != nil && d.period > 0:
		return fmt.Errorf("interrupted before it was clear whether the process of node %s acknowledges the drain: if it doesn't, the node stays out of service after %s, until micro-etcd undrain",
			t.name(), d.period)
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted before it was clear whether the process of node %s acknowledges the drain; the node stays out of service",
			t.name())
	case err != nil:
		return fmt.Errorf("could not look whether the process of node %s acknowledges the drain; the node stays out of service: %w",
			t.name(), err)
	case now.record == nil && now.notice != nil && now.notice.Modified == revision && d.period > 0:
		return d.undo(ctx, t, now.notice)
	}
	return d.conclude(now, t.name(), revision)
}

// conclude says what became of a node's drain, which was done at a revision.
func (d *drain) conclude(now *target, name string, revision int64) error {
	switch {
	case now.record != nil:
		return app.No("node %s is back in service: its process has registered it again, or somebody has undrained it", name)
	case now.notice == nil:
		fmt.Fprintf(d.Err, "Node %s is gone: its process has deregistered it, or its lease has ended.\n", name)
	case now.notice.IsNotice() && !now.notice.Notice.Acknowledged.IsZero():
		fmt.Fprintln(d.Err, "Acknowledged by its process.")
	case now.notice.Modified != revision:
		return app.No("the notice of node %s was changed meanwhile; the node stays out of service", name)
	default:
		fmt.Fprintln(d.Err, "Not acknowledged: the owner uses another registry plugin, can't write to etcd or is gone. "+
			"The node stays out of service until its lease is lost, its data changes, or micro-etcd undrain.")
	}
	return nil
}

// awaitAcknowledgment returns what is at the node's place when its process has acknowledged the notice that was written
// at a revision, or had time to.
func (d *drain) awaitAcknowledgment(ctx context.Context, t *target, revision int64) (*target, error) {
	watched, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), fleet.AcknowledgeTime)
	defer cancel()
	for response := range d.source.Client.Watch(watched, t.noticeKey, clientv3.WithRev(revision+1)) {
		if err := response.Err(); err != nil {
			return nil, err
		}
		if concerns(response.Events) {
			break
		}
	}
	return t.look(ctx, d.source)
}

// concerns reports whether a notice was acknowledged, or went.
func concerns(events []*clientv3.Event) bool {
	for _, event := range events {
		n, err := catalog.DecodeNotice(event.Kv.Value)
		if event.Type == clientv3.EventTypeDelete || err == nil && !n.Acknowledged.IsZero() {
			return true
		}
	}
	return false
}

// undo makes a node what it was before its drain.
func (d *drain) undo(ctx context.Context, t *target, notice *fleet.Record) error {
	now := &target{key: t.key, noticeKey: t.noticeKey, notice: notice}
	var err error
	if t.record != nil {
		_, err = putBack(ctx, d.App, d.source, now)
	} else {
		var before []byte
		if before, err = catalog.EncodeNotice(*t.notice.Notice); err == nil {
			put := clientv3.OpPut(t.noticeKey, string(before), clientv3.WithLease(notice.Lease))
			_, err = change(ctx, d.App, d.source, now, nil, put)
		}
	}
	const why = "its process didn't acknowledge it within %s, so it uses another registry plugin, can't write to etcd or is gone, and nobody would put the record back"
	refused := fmt.Errorf("--for can't be kept for node %s: "+why, t.name(), fleet.AcknowledgeTime)
	if err == nil {
		return app.No("%w; the drain was undone", refused)
	}
	if app.ExitOf(err).Code == app.ExitNo { // the process may just have acknowledged it
		if now, err := t.look(ctx, d.source); err == nil {
			return d.conclude(now, t.name(), notice.Modified)
		}
	}
	return app.Error{Code: app.ExitOf(err).Code, Err: fmt.Errorf("%w; the drain could not be undone: %w", refused, err)}
}
