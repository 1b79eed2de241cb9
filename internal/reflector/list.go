package reflector

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/etcderr"
)

// List is all that was below a prefix at one revision, sorted by key.
type List struct {
	Header *pb.ResponseHeader
	Kvs    []*mvccpb.KeyValue
}

// Lister reads everything below a prefix at one revision, page by page. It is for one goroutine at a time.
type Lister struct {
	Etcd   Etcd
	Prefix string
	// Timeout returns how long a page may take.
	Timeout func() time.Duration
	// Connected reports whether there is a connection, so that a page without an answer may have been too big. Nil
	// means always.
	Connected func() bool
	// Progress is told how many keys were read, and how many there are. It may be nil.
	Progress func(read, all int)

	limit int // keys of the next page; it is kept from list to list
}

// etcd bounds a page by its number of keys only, and anybody may have put a thousand values of a megabyte there. So the
// number follows from how big the pages turn out, and how long they take.
const (
	// firstPage bounds the page of which nothing is known yet: at etcd's usual limit of 1.5 MB for a value it is 96 MB
	// at the very worst. Most services fit into it.
	firstPage = 64
	// maxGrowth is how much bigger than the page before a page may be. A first page of small values makes room for the
	// rest of a service of a thousand nodes.
	maxGrowth = 16
	// maxPage bounds the keys of a page.
	maxPage = 2000
	// maxPageSize is what a page should have at most, in bytes: a page of usual records has less.
	maxPageSize = 8 << 20
	// pageDivisor is by how much a page that fails is too big, as far as one can tell.
	pageDivisor = 16
	// maxLists bounds how often a list is begun anew because etcd was compacted meanwhile, or another etcd answers.
	maxLists = 5
)

// List lists. The first page is linearizable and fixes the revision.
func (l *Lister) List(ctx context.Context) (*List, error) {
	if l.limit == 0 {
		l.limit = firstPage
	}
	for attempt := 1; ; attempt++ {
		all, err := l.once(ctx)
		// An Init may have come between the pages.
		again := errors.Is(err, rpctypes.ErrCompacted) || errors.Is(err, etcderr.ErrMixedClusters)
		if !again || attempt == maxLists {
			return all, err
		}
	}
}

func (l *Lister) once(ctx context.Context) (*List, error) {
	all := &List{}
	from, end := l.Prefix, clientv3.GetPrefixRangeEnd(l.Prefix)
	for {
		opts := []clientv3.OpOption{clientv3.WithRange(end)}
		if all.Header != nil {
			opts = append(opts, clientv3.WithRev(all.Header.Revision))
		}
		page, err := l.page(ctx, from, opts)
		if err != nil {
			return nil, err
		}
		if all.Header == nil {
			all.Header = page.Header
		}
		if page.Header.ClusterId != all.Header.ClusterId {
			return nil, fmt.Errorf("%w: %x and %x", etcderr.ErrMixedClusters, all.Header.ClusterId, page.Header.ClusterId)
		}
		if l.Progress != nil {
			l.Progress(len(all.Kvs)+len(page.Kvs), len(all.Kvs)+int(page.Count)) // Count is of all from this page on
		}
		all.Kvs = append(all.Kvs, page.Kvs...)
		if !page.More || len(page.Kvs) == 0 {
			return all, nil
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}

// page reads the next page, and again a smaller one if it is too big.
func (l *Lister) page(ctx context.Context, from string, opts []clientv3.OpOption) (*clientv3.GetResponse, error) {
	for {
		began := time.Now()
		page, err := l.get(ctx, from, append(opts, clientv3.WithLimit(int64(l.limit))))
		switch {
		case err == nil:
			l.learn(len(page.Kvs), sizeOf(page), time.Since(began))
			return page, nil
		case l.limit == 1 || !l.tooBig(ctx, err):
			return nil, err
		}
		l.limit = max(1, l.limit/pageDivisor)
	}
}

func (l *Lister) get(ctx context.Context, from string, opts []clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Timeout())
	defer cancel()
	return l.Etcd.Get(ctx, from, opts...)
}

// tooBig reports whether a smaller page than the one that failed may be had: it was too big for gRPC, or its time ran
// out although there is a connection.
func (l *Lister) tooBig(ctx context.Context, err error) bool {
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return etcderr.IsTooLarge(err)
	}
	return l.Connected == nil || l.Connected()
}

// learn sets the limit by a page of some keys and bytes. Only a full one is a reason to try a bigger one.
func (l *Lister) learn(keys, size int, took time.Duration) {
	if keys == 0 {
		return
	}
	fitting := max(1, maxPageSize/max(1, size/keys))
	switch {
	case size > maxPageSize:
		l.limit = min(l.limit, fitting)
	case keys == l.limit:
		inTime := int(min(maxPage, int64(keys)*int64(l.Timeout()/4)/max(1, int64(took))))
		l.limit = max(l.limit, min(maxPage, maxGrowth*l.limit, fitting, inTime))
	}
}

func sizeOf(page *clientv3.GetResponse) int {
	size := 0
	for _, kv := range page.Kvs {
		size += len(kv.Key) + len(kv.Value)
	}
	return size
}
