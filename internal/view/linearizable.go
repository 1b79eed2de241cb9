package view

import (
	"context"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
)

// LookupLinearizable reads a service from etcd's leader. The views that have it take that in, so that they aren't
// behind what was shown.
func (c *Cache) LookupLinearizable(ctx context.Context, name string) (*catalog.Snapshot, error) {
	c.metrics.Lookups.Add(metrics.SourceRemote)
	dir := c.Keys.Dir(name)
	views := c.having(name)
	found, revision, err := c.read(ctx, dir)
	if err != nil {
		return nil, err
	}
	for v, floor := range views {
		v.merge(name, found, revision, floor)
	}
	c.shown.Look(name, dir, found, nil, false)
	return found.Snapshot(name), nil
}

// ListLinearizable reads all services from etcd's leader.
func (c *Cache) ListLinearizable(ctx context.Context) ([]*catalog.Snapshot, error) {
	found, _, err := c.read(ctx, c.Keys.Prefix)
	if err != nil {
		return nil, err
	}
	c.shown.LookWhole(c.Keys.Dir, found, nil)
	return found.Snapshots(), nil
}

// read returns what etcd has below a prefix, and at which revision.
func (c *Cache) read(ctx context.Context, prefix string) (*catalog.Catalog, int64, error) {
	lister := c.Lister(prefix, nil)
	all, err := lister.List(ctx)
	if err != nil {
		return nil, 0, err
	}
	found := catalog.New()
	d := catalog.NewDecoder(c.Keys)
	for _, kv := range all.Kvs {
		if record := c.Malformed.Decode(d, kv); record != nil {
			found.Put(record)
		}
	}
	return found, all.Header.Revision, nil
}
