package registration

import (
	"bytes"
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
)

// This file is about a node's two keys: its record's, and that of the notice that stands for the record while the node
// is out of service.

// inspect says who has the key by what was read, and takes in what its notice says. A record counts more than a notice.
func (g *registration) inspect(at keys, d *desired) owner {
	o := ownerUnknown
	if at.record != nil {
		o = g.classify(at.record, d)
	}
	var n *catalog.Notice
	ours := at.record != nil && g.shared.leases.Owns(at.record.Lease)
	if o == ownerUnknown && !ours && at.notice != nil {
		o, n = g.classifyNotice(at.notice)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case o == ownerSelf, o == ownerOther, ours:
		g.forgetNoticeLocked() // somebody has put the record back; ours may be out of date
	case o == ownerNotice:
		g.placed = &placed{notice: *n, revision: at.notice.ModRevision, lease: at.notice.Lease}
		was := g.drain
		g.drain = nil
		if n.By != "" {
			g.drain = acknowledge(*n, was)
		}
	}
	return o
}

// acknowledge returns a drain as this process takes it up. How long it lasts is told by two times of one clock, which
// need not be ours, unless the end is that of the drain that it replaces.
func acknowledge(n catalog.Notice, was *catalog.Notice) *catalog.Notice {
	if !n.Acknowledged.IsZero() {
		return &n
	}
	n.Acknowledged = time.Now().UTC()
	if !n.Until.IsZero() && (was == nil || !was.Until.Equal(n.Until)) {
		n.Until = n.Acknowledged.Add(n.Until.Sub(n.Since))
	}
	return &n
}

// classifyNotice says whose a notice is that lies there without a record. One without a lease is nobody's: nothing
// would ever end it.
func (g *registration) classifyNotice(kv *mvccpb.KeyValue) (owner, *catalog.Notice) {
	n, err := catalog.DecodeNotice(kv.Value)
	switch {
	case err != nil || kv.Lease == int64(clientv3.NoLease):
		return ownerUnknown, nil
	case g.shared.leases.Owns(kv.Lease):
		return ownerNotice, n
	}
	return ownerOther, nil
}

// accept leaves things as they were found, but for a notice of ours beside a record.
func (g *registration) accept(ctx context.Context, o owner, at keys) error {
	g.from, g.noticed = at.revision+1, at.record == nil
	if o == ownerNotice {
		g.found(o, at.revision)
		return nil
	}
	var revision int64
	if at.record != nil {
		revision = at.record.ModRevision
	} else {
		revision = at.notice.ModRevision
	}
	g.found(o, revision)
	if at.record == nil || at.notice == nil || !g.shared.leases.Owns(at.notice.Lease) {
		return nil
	}
	_, err := etcdconn.Txn(ctx, g.shared.Connector, func(t clientv3.Txn) clientv3.Txn {
		return t.If(unchanged(g.noticeKey, at.notice)).Then(clientv3.OpDelete(g.noticeKey))
	})
	return err
}

// wanted returns the notice that should be there instead of the record, or nil.
func (g *registration) wanted(d *desired, o owner) *catalog.Notice {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.drain != nil && !g.drain.Until.IsZero() && !time.Now().Before(g.drain.Until) {
		g.drain = nil
	}
	// Without a notice on the lease that it hung on, somebody has removed it: the node is to come back. It may also have
	// gone with its lease.
	gone := o == ownerUnknown && g.placed != nil && g.placed.lease == g.leaseID()
	switch {
	case o == ownerOther || gone:
	case g.drain != nil:
		n := *g.drain
		n.Record = d.value
		return &n
	case o == ownerNotice && g.sick != "":
		return g.ownNoticeLocked(d)
	}
	return nil
}

// place puts the node out of service or back, as its checks and whoever drains it want.
func (g *registration) place(ctx context.Context, d *desired) error {
	o, at := g.current()
	switch {
	case o == ownerSelf && g.isSick():
		return g.leave(ctx, d)
	case o == ownerNotice && !g.isPlaced(g.wanted(d, o)):
		return g.write(ctx, d, o, at, false)
	}
	return nil
}

// isPlaced reports whether the notice that is there says what it should, and hangs on our present lease.
func (g *registration) isPlaced(n *catalog.Notice) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.placed.notice
	return n != nil && g.placed.lease == g.leaseID() && n.By == was.By && n.Reason == was.Reason &&
		n.Acknowledged.Equal(was.Acknowledged) && bytes.Equal(n.Record, was.Record)
}

// current returns who is known to have the key, and what is known to be there.
func (g *registration) current() (owner, keys) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := keys{revision: g.revision}
	switch g.owner {
	case ownerSelf:
		at.record = &mvccpb.KeyValue{ModRevision: g.revision}
	case ownerNotice:
		at.notice = &mvccpb.KeyValue{ModRevision: g.placed.revision}
	}
	return g.owner, at
}

// forgetNotice forgets why the node was out of service: it goes.
func (g *registration) forgetNotice() {
	g.noticed = false
	g.mu.Lock()
	defer g.mu.Unlock()
	g.releaseLocked()
	g.forgetNoticeLocked()
}

func (g *registration) forgetNoticeLocked() {
	g.placed, g.drain = nil, nil
	if g.owner == ownerNotice {
		g.owner = ownerUnknown
	}
}
