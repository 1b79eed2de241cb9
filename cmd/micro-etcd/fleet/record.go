package fleet

import (
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// Record is one key below the prefix, as etcd has it. It must not be changed: a fleet's are shared.
type Record struct {
	Key     string
	Service *catalog.Service // with exactly one node; nil for a malformed record
	Err     error            // why it is malformed; wraps etcd.ErrMalformed
	// Notice says why the node is out of service, where the key has no record but the notice of one; nil for a record.
	// Service is then what the record was.
	Notice *catalog.Notice
	Size   int              // bytes of the value
	Lease  clientv3.LeaseID // 0 for a record without a lease, which stays until somebody deletes it

	Created  int64 // etcd's revision at which the key came into being
	Modified int64 // and at which it was written last
	Writes   int64 // how often it was written since it was created; etcd calls it Version

	// Seen is when this process first saw the record, of this Created. etcd stores no times, so nobody can know more,
	// unless Before is false: then it came at that moment, or while the connection was lost.
	Seen time.Time
	// Before says that the record was there when this process began to look: it is older than Seen.
	Before bool
}

// Node returns the record's only node, nil for a malformed record.
func (r *Record) Node() *catalog.Node {
	if r.Service == nil {
		return nil
	}
	return r.Service.Nodes[0]
}

// AcknowledgeTime is how long a process that uses this registry may take to acknowledge a drain.
const AcknowledgeTime = 2 * time.Second

// IsNotice reports whether this is no record, but the notice of a node that is out of service.
func (r *Record) IsNotice() bool { return r.Notice != nil }

// same reports whether two records of a key are one. In another history of etcd's equal revisions mean nothing, but
// there the leases differ.
func (r *Record) same(q *Record) bool {
	return r.Created == q.Created && r.Modified == q.Modified && r.Lease == q.Lease && r.Size == q.Size
}

// Source is where a fleet is read from. Its methods may be called concurrently.
type Source struct {
	Client *clientv3.Client
	// Prefix is the registry's, as [etcd.Prefix] takes it; "" means [etcd.DefaultPrefix].
	Prefix string
	// Service leaves out all others, and needs read permission for its own directory only. Malformed records in that
	// directory are not left out. "" means everything below the prefix.
	Service string
	// Timeout bounds each request; 0 means 5 s.
	Timeout time.Duration
}

func (s Source) timeout() time.Duration {
	if s.Timeout > 0 {
		return s.Timeout
	}
	return 5 * time.Second
}

func (s Source) prefix() string {
	switch {
	case s.Prefix == "":
		return etcd.DefaultPrefix
	case strings.HasSuffix(s.Prefix, "/"):
		return s.Prefix
	}
	return s.Prefix + "/"
}

// Dir returns what is read: a service's directory, or the whole prefix. Services whose names differ only in "/" and "-"
// share a directory.
func (s Source) Dir() string {
	if s.Service == "" {
		return s.prefix()
	}
	return s.prefix() + strings.ReplaceAll(s.Service, "/", "-") + "/"
}

// Keyspace is how keys below the prefix are laid out.
func (s Source) Keyspace() catalog.Keyspace { return catalog.Keyspace{Prefix: s.prefix()} }

// record returns what a stored key is, or nil if it isn't the wanted service's.
func (s Source) record(kv *mvccpb.KeyValue) *Record {
	r := &Record{
		Key:      string(kv.Key),
		Size:     len(kv.Value),
		Lease:    clientv3.LeaseID(kv.Lease),
		Created:  kv.CreateRevision,
		Modified: kv.ModRevision,
		Writes:   kv.Version,
	}
	var decoded *catalog.Record
	decoded, r.Notice, r.Err = s.decode(r.Key, kv.ModRevision, kv.Value)
	if r.Err == nil {
		r.Service = decoded.Service()
		if s.Service != "" && decoded.Name != s.Service {
			return nil
		}
	}
	return r
}

// decode reads a record, or a notice and the record in it.
func (s Source) decode(key string, revision int64, value []byte) (*catalog.Record, *catalog.Notice, error) {
	d := catalog.NewDecoder(s.Keyspace())
	r, err := d.Decode(key, revision, value)
	of, ok := s.Keyspace().OfNotice(key)
	if err == nil || !ok {
		return r, nil, err
	}
	n, err := catalog.DecodeNotice(value)
	if err != nil {
		return nil, nil, err
	}
	r, err = d.Decode(of, revision, n.Record)
	if err != nil {
		return nil, nil, fmt.Errorf("notice of %q: %w", of, err)
	}
	if !r.HasOwnKey() { // else whoever puts it back would make another node's record
		return nil, nil, fmt.Errorf("notice of %q: %w: it holds the record of node %q", of, catalog.ErrMalformed, r.Node.Id)
	}
	return r, n, nil
}
