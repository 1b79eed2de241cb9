package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Fleet is all that etcd had below a prefix at one revision.
type Fleet struct {
	Revision int64
	Cluster  uint64 // etcd's cluster id
	Term     uint64 // of the leader that answered
	Records  []*Record

	others map[string]bool // keys that were read but aren't the wanted service's
}

const (
	// pageSize keeps a page of the usual records well below what a server likes to send at once.
	pageSize = 1000
	// maxReads bounds how often reading begins anew because etcd was compacted meanwhile.
	maxReads = 5
)

// Read returns a consistent picture at one revision, sorted by key. It reads page by page, the first
// one linearizably; ctx bounds the whole. Errors are etcd's and the context's.
func (s Source) Read(ctx context.Context, progress Progress) (*Fleet, error) {
	for attempt := 1; ; attempt++ {
		f, err := s.read(ctx, progress)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, rpctypes.ErrCompacted) || attempt == maxReads {
			return nil, fmt.Errorf("read %q: %w", s.Dir(), err)
		}
	}
}

func (s Source) read(ctx context.Context, progress Progress) (*Fleet, error) {
	now := time.Now()
	f := &Fleet{others: make(map[string]bool)}
	read := 0
	end := clientv3.WithRange(clientv3.GetPrefixRangeEnd(s.Dir()))
	for from := s.Dir(); ; {
		page, err := s.get(ctx, from, end, clientv3.WithLimit(pageSize), clientv3.WithRev(f.Revision))
		if err != nil {
			return nil, err
		}
		if f.Revision == 0 {
			f.Revision, f.Cluster, f.Term = page.Header.Revision, page.Header.ClusterId, page.Header.RaftTerm
		}
		for _, kv := range page.Kvs {
			if r := s.record(kv); r != nil {
				r.Seen, r.Before = now, true
				f.Records = append(f.Records, r)
			} else {
				f.others[string(kv.Key)] = true
			}
		}
		progress.tell(read+len(page.Kvs), read+int(page.Count)) // Count is of all from this page on
		read += len(page.Kvs)
		if !page.More || len(page.Kvs) == 0 {
			return f, nil
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}

// get requires a leader, because a member without one keeps a request until its deadline.
func (s Source) get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), s.timeout())
	defer cancel()
	return s.Client.Get(ctx, key, opts...)
}

// Key returns what is at one key, whatever service it is of, or nil.
func (s Source) Key(ctx context.Context, key string) (*Record, error) {
	answer, err := s.get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", key, err)
	}
	if len(answer.Kvs) == 0 {
		return nil, nil
	}
	s.Service = ""
	r := s.record(answer.Kvs[0])
	r.Seen, r.Before = time.Now(), true
	return r, nil
}
