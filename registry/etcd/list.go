package etcd

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// listing is all that was below a prefix at one revision.
type listing struct {
	header *pb.ResponseHeader
	kvs    []*mvccpb.KeyValue
}

// maxListings bounds how often a list is begun anew because etcd was compacted meanwhile, or
// Init changed to another cluster.
const maxListings = 5

// list reads everything below a prefix at one revision, page by page. The first page is
// linearizable and fixes the revision. perPage bounds each request beside ctx.
func list(ctx context.Context, c *connector, prefix string, perPage time.Duration) (*listing, error) {
	p := &pages{connector: c, limit: maxPage, time: perPage}
	for attempt := 1; ; attempt++ {
		all, err := listOnce(ctx, p, prefix)
		again := errors.Is(err, rpctypes.ErrCompacted) || errors.Is(err, errReplaced)
		if !again || attempt == maxListings {
			return all, err
		}
	}
}

func listOnce(ctx context.Context, p *pages, prefix string) (*listing, error) {
	all := &listing{}
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	for {
		opts := []clientv3.OpOption{clientv3.WithRange(end)}
		if all.header != nil {
			opts = append(opts, clientv3.WithRev(all.header.Revision))
		}
		page, err := p.get(ctx, from, opts...)
		if err != nil {
			return nil, err
		}
		if all.header == nil {
			all.header = page.Header
		}
		if page.Header.ClusterId != all.header.ClusterId {
			return nil, errReplaced
		}
		all.kvs = append(all.kvs, page.Kvs...)
		if !page.More || len(page.Kvs) == 0 {
			return all, nil
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}
