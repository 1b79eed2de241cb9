package registration

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
)

// This file is how the two keys of a node are read together: its record's and its notice's.

// keys are what was read of a record's key and its notice's at one revision of etcd's.
type keys struct {
	record, notice *mvccpb.KeyValue // nil for nothing
	revision       int64
}

// keysIn returns what the answer to gets says.
func keysIn(answer *clientv3.TxnResponse) keys {
	at := keys{revision: answer.Header.Revision}
	for i, kv := range []**mvccpb.KeyValue{&at.record, &at.notice} {
		if kvs := answer.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
			*kv = kvs[0]
		}
	}
	return at
}

// gets read both keys of a record.
func (s *shared) gets(key string) []clientv3.Op {
	return []clientv3.Op{clientv3.OpGet(key), clientv3.OpGet(s.Keys.Notice(key))}
}

// unchanged guards what is written: both keys must be as they were found.
func (s *shared) unchanged(key string, at keys) []clientv3.Cmp {
	return []clientv3.Cmp{unchanged(key, at.record), unchanged(s.Keys.Notice(key), at.notice)}
}

// read reads both keys of a record, and more at the same revision.
func (s *shared) read(ctx context.Context, key string, more ...clientv3.Op) (keys, *clientv3.TxnResponse, error) {
	answer, err := etcdconn.Txn(ctx, s.Connector, func(t clientv3.Txn) clientv3.Txn {
		return t.Then(append(s.gets(key), more...)...)
	})
	if err != nil {
		return keys{}, nil, err
	}
	return keysIn(answer), answer, nil
}
