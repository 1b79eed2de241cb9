package fleet

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"

	"github.com/micro-etcd/micro-etcd/internal/reflector"
)

// Fleet is all that etcd had below a prefix at one revision.
type Fleet struct {
	Revision int64
	Cluster  uint64 // etcd's cluster id
	Term     uint64 // of the leader that answered
	Records  []*Record

	others map[string]bool // keys that were read but aren't the wanted service's
}

// Read returns a consistent picture at one revision, sorted by key. It reads page by page, the first one linearizably;
// ctx bounds the whole. Errors are etcd's and the context's.
func (s Source) Read(ctx context.Context, progress Progress) (*Fleet, error) {
	lister := s.lister(&connection{client: s.Client}, progress)
	all, err := lister.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", s.Dir(), err)
	}
	return s.fleet(all), nil
}

func (s Source) lister(c *connection, progress Progress) reflector.Lister {
	return reflector.Lister{
		Etcd: c, Prefix: s.Dir(), Timeout: s.timeout, Progress: progress.tell,
		Connected: func() bool { return s.Client.ActiveConnection().GetState() == connectivity.Ready },
	}
}

// fleet returns what a list says.
func (s Source) fleet(all *reflector.List) *Fleet {
	now := time.Now()
	h := all.Header
	f := &Fleet{Revision: h.Revision, Cluster: h.ClusterId, Term: h.RaftTerm, others: make(map[string]bool)}
	for _, kv := range all.Kvs {
		if r := s.record(kv); r != nil {
			r.Seen, r.Before = now, true
			f.Records = append(f.Records, r)
		} else {
			f.others[string(kv.Key)] = true
		}
	}
	return f
}

func (s Source) get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout())
	defer cancel()
	return (&connection{client: s.Client}).Get(ctx, key, opts...)
}

// Keys returns what is at each of some keys at one revision, whatever service it is of, nil where there is nothing.
func (s Source) Keys(ctx context.Context, keys ...string) ([]*Record, error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), s.timeout())
	defer cancel()
	var ops []clientv3.Op
	for _, key := range keys {
		ops = append(ops, clientv3.OpGet(key))
	}
	answer, err := s.Client.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", keys, err)
	}
	s.Service = ""
	now := time.Now()
	records := make([]*Record, len(keys))
	for i, response := range answer.Responses {
		for _, kv := range response.GetResponseRange().Kvs {
			records[i] = s.record(kv)
			records[i].Seen, records[i].Before = now, true
		}
	}
	return records, nil
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
