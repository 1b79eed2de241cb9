// Package brake bounds how many nodes of a service are out of service at a time, whoever takes them out: a check that
// fails everywhere, or somebody with a list, must not leave consumers without a node.
//
// Whoever takes one out lists the keys of the service's directory, counts them with [Count], asks [Nodes.MayLeave], and
// puts [Nodes.Guard] into the transaction. So of two who counted the same only one is let through, and the other has to
// count again.
package brake

import (
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// Nodes are how many there are of a service at one revision.
type Nodes struct {
	In, Out int // of service

	notices  string // their directory
	revision int64
}

// Count counts what there is of a service in its directory, all of it at one revision: its records, and the notices of
// nodes that have none. What is malformed doesn't count, nor does another service that shares the directory.
func Count(keys catalog.Keyspace, service string, kvs []*mvccpb.KeyValue, revision int64) Nodes {
	d := catalog.NewDecoder(keys)
	isOf := func(key string, value []byte) bool {
		r, err := d.Decode(key, 0, value)
		return err == nil && r.Name == service
	}
	in := make(map[string]bool, len(kvs))
	var out []string
	for _, kv := range kvs {
		key := string(kv.Key)
		if of, isNotice := keys.OfNotice(key); !isNotice {
			in[key] = isOf(key, kv.Value)
		} else if n, err := catalog.DecodeNotice(kv.Value); err == nil && isOf(of, n.Record) {
			out = append(out, of)
		}
	}
	n := Nodes{notices: keys.Notices(service), revision: revision}
	for _, isRecord := range in {
		if isRecord {
			n.In++
		}
	}
	for _, record := range out {
		if !in[record] {
			n.Out++
		}
	}
	return n
}

// MayLeave reports whether one more node may go out of service: at most half of them are out then, so it is never the
// last.
func (n Nodes) MayLeave() bool { return 2*(n.Out+1) <= n.In+n.Out }

// AfterExit returns what is left when one more node has gone out of service.
func (n Nodes) AfterExit() Nodes {
	n.In, n.Out = n.In-1, n.Out+1
	return n
}

// Guard holds as long as no node of the service has gone out of service since they were counted. It compares the
// notices, which whoever goes out writes, and not the records, which come and go with every deployment. etcd compares
// the keys there are, so it can't see that a record went: nodes that die meanwhile may leave fewer than allowed.
func (n Nodes) Guard() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(n.notices), "<", n.revision+1).WithPrefix()
}
