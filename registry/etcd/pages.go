package etcd

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// pages reads a list in pages. etcd bounds them by a number of keys only, and somebody may have put a thousand
// values of a megabyte there: so the number follows from how big the pages turn out, and how long they take.
type pages struct {
	connector *connector
	limit     int           // how many keys the next page may have
	time      time.Duration // that a page may take
}

const (
	// maxPage has all nodes of the usual service in one page.
	maxPage = 2000
	// maxPageSize is what a page should have at most, in bytes: a page of usual records has less.
	maxPageSize = 8 << 20
	// pageDivisor is by how much a page that fails is too big, as far as one can tell. Three failures
	// come down to one key.
	pageDivisor = 16
)

// get reads the next page, and again a smaller one if it is too big.
func (p *pages) get(ctx context.Context, from string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	for {
		began := time.Now()
		page, err := get(ctx, p.connector, p.time, from, append(opts, clientv3.WithLimit(int64(p.limit)))...)
		switch {
		case err == nil:
			p.learn(len(page.Kvs), sizeOf(page), time.Since(began))
			return page, nil
		case p.limit == 1 || !p.tooBig(ctx, err):
			return nil, err
		}
		p.limit = max(1, p.limit/pageDivisor)
	}
}

// tooBig reports whether a smaller page than the one that failed may be had: it was too big for
// gRPC, or its time ran out although there is a connection.
func (p *pages) tooBig(ctx context.Context, err error) bool {
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return isTooLarge(err)
	}
	l, _ := p.connector.peek()
	return l != nil && l.isConnected()
}

// learn sets the limit by a page of some keys and bytes.
func (p *pages) learn(keys, size int, took time.Duration) {
	switch {
	case size > maxPageSize:
		p.limit = max(1, min(p.limit, keys*maxPageSize/size))
	case size <= maxPageSize/2 && took <= p.time/4:
		p.limit = min(maxPage, 2*p.limit)
	}
}

func sizeOf(page *clientv3.GetResponse) int {
	size := 0
	for _, kv := range page.Kvs {
		size += len(kv.Key) + len(kv.Value)
	}
	return size
}
