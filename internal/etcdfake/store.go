package etcdfake

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Store is what an etcd has in its data directory: keys with their history, and leases. Key-values and events never
// change once they are made. It is for one goroutine at a time.
type Store struct {
	Cluster, term       uint64
	Revision, Compacted int64
	Keys                map[string]*mvccpb.KeyValue
	Events              []*mvccpb.Event // of all times, in order
	Leases              map[int64]*storedLease
	granted             int64 // the last lease id; goes on after a wipe, as etcd's ids never repeat
}

type storedLease struct {
	seconds int64
	expires time.Time
}

func (l *storedLease) renew() { l.expires = time.Now().Add(time.Duration(l.seconds) * time.Second) }

// NewStore returns the data of a new cluster.
func NewStore(cluster uint64) *Store {
	return &Store{
		Cluster: cluster, term: 2, Revision: 1,
		Keys: make(map[string]*mvccpb.KeyValue), Leases: make(map[int64]*storedLease),
	}
}

// Snapshot returns a copy, as etcdctl snapshot save does.
func (s *Store) Snapshot() *Store {
	c := *s
	c.Keys, c.Events, c.Leases = maps.Clone(s.Keys), slices.Clone(s.Events), make(map[int64]*storedLease)
	for id, l := range s.Leases {
		c.Leases[id] = &storedLease{seconds: l.seconds}
	}
	return &c
}

func (s *Store) header() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: s.Cluster, MemberId: 1, RaftTerm: s.term, Revision: s.Revision}
}

// within reports whether a key is in a range as etcd's requests give it.
func within(key, first, end []byte) bool {
	switch {
	case len(end) == 0:
		return bytes.Equal(key, first)
	case len(end) == 1 && end[0] == 0:
		return bytes.Compare(key, first) >= 0
	}
	return bytes.Compare(key, first) >= 0 && bytes.Compare(key, end) < 0
}

// Find returns what there is in a range, sorted by key.
func Find(keys map[string]*mvccpb.KeyValue, first, end []byte) []*mvccpb.KeyValue {
	var found []*mvccpb.KeyValue
	for _, kv := range keys {
		if within(kv.Key, first, end) {
			found = append(found, kv)
		}
	}
	slices.SortFunc(found, func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
	return found
}

// at returns the keys as they were at a revision.
func (s *Store) at(revision int64) map[string]*mvccpb.KeyValue {
	if revision == s.Revision {
		return s.Keys
	}
	keys := make(map[string]*mvccpb.KeyValue)
	for _, e := range s.Events {
		switch {
		case e.Kv.ModRevision > revision:
			return keys
		case e.Type == mvccpb.DELETE:
			delete(keys, string(e.Kv.Key))
		default:
			keys[string(e.Kv.Key)] = e.Kv
		}
	}
	return keys
}

func (s *Store) read(r *pb.RangeRequest) (*pb.RangeResponse, error) {
	revision := cmp.Or(r.Revision, s.Revision)
	switch {
	case len(r.Key) == 0:
		return nil, rpctypes.ErrGRPCEmptyKey
	case revision > s.Revision:
		return nil, rpctypes.ErrGRPCFutureRev
	case revision < s.Compacted:
		return nil, rpctypes.ErrGRPCCompacted
	}
	found := Find(s.at(revision), r.Key, r.RangeEnd)
	answer := &pb.RangeResponse{Header: s.header(), Count: int64(len(found))}
	if r.CountOnly {
		return answer, nil
	}
	if r.Limit > 0 && int64(len(found)) > r.Limit {
		found, answer.More = found[:r.Limit], true
	}
	if r.KeysOnly {
		for i, kv := range found {
			found[i] = &mvccpb.KeyValue{
				Key: kv.Key, CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision, Version: kv.Version, Lease: kv.Lease,
			}
		}
	}
	answer.Kvs = found
	return answer, nil
}

func (s *Store) eventsFrom(revision int64) []*mvccpb.Event {
	at, _ := slices.BinarySearchFunc(
		s.Events, revision, func(e *mvccpb.Event, r int64) int { return cmp.Compare(e.Kv.ModRevision, r) },
	)
	return s.Events[at:]
}

// A change is made at the next revision, which begins with the first write and ends with commit.

func (s *Store) write(e *mvccpb.Event) { s.Events = append(s.Events, e) }

func (s *Store) commit() []*mvccpb.Event {
	fresh := s.eventsFrom(s.Revision + 1)
	if len(fresh) > 0 {
		s.Revision++
	}
	return fresh
}

func (s *Store) put(r *pb.PutRequest) *pb.PutResponse {
	kv := &mvccpb.KeyValue{
		Key: r.Key, Value: r.Value, Lease: r.Lease,
		CreateRevision: s.Revision + 1, ModRevision: s.Revision + 1, Version: 1,
	}
	if before := s.Keys[string(r.Key)]; before != nil {
		kv.CreateRevision, kv.Version = before.CreateRevision, before.Version+1
	}
	s.Keys[string(r.Key)] = kv
	s.write(&mvccpb.Event{Type: mvccpb.PUT, Kv: kv})
	return &pb.PutResponse{Header: &pb.ResponseHeader{Revision: s.Revision + 1}}
}

func (s *Store) delete(r *pb.DeleteRangeRequest) *pb.DeleteRangeResponse {
	found := Find(s.Keys, r.Key, r.RangeEnd)
	for _, kv := range found {
		delete(s.Keys, string(kv.Key))
		s.write(&mvccpb.Event{Type: mvccpb.DELETE, Kv: &mvccpb.KeyValue{Key: kv.Key, ModRevision: s.Revision + 1}})
	}
	revision := s.Revision
	if len(found) > 0 {
		revision++
	}
	return &pb.DeleteRangeResponse{Header: &pb.ResponseHeader{Revision: revision}, Deleted: int64(len(found))}
}

// txn does one branch of a transaction. All comparisons, also of transactions within, are of the state before; reads
// are of the state that they come to.
func (s *Store) txn(r *pb.TxnRequest) (*pb.TxnResponse, error) {
	b := s.choose(r)
	if err := s.check(b); err != nil {
		return nil, err
	}
	return s.execute(b)
}

// branch is the part of a transaction that is to be done.
type branch struct {
	succeeded bool
	ops       []*pb.RequestOp
	within    []*branch // of those ops that are transactions, in order
}

func (s *Store) choose(r *pb.TxnRequest) *branch {
	b := &branch{succeeded: true, ops: r.Success}
	if slices.ContainsFunc(r.Compare, func(c *pb.Compare) bool { return !s.holds(c) }) {
		b.succeeded, b.ops = false, r.Failure
	}
	for _, op := range b.ops {
		if inner := op.GetRequestTxn(); inner != nil {
			b.within = append(b.within, s.choose(inner))
		}
	}
	return b
}

func (s *Store) check(b *branch) error {
	for _, op := range b.ops {
		if p := op.GetRequestPut(); p != nil && s.Missing(p.Lease) {
			return rpctypes.ErrGRPCLeaseNotFound
		}
	}
	for _, inner := range b.within {
		if err := s.check(inner); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) execute(b *branch) (*pb.TxnResponse, error) {
	answer, inner := &pb.TxnResponse{Succeeded: b.succeeded}, b.within
	for _, op := range b.ops {
		one := &pb.ResponseOp{}
		switch op := op.Request.(type) {
		case *pb.RequestOp_RequestPut:
			one.Response = &pb.ResponseOp_ResponsePut{ResponsePut: s.put(op.RequestPut)}
		case *pb.RequestOp_RequestDeleteRange:
			one.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: s.delete(op.RequestDeleteRange)}
		case *pb.RequestOp_RequestRange:
			found, err := s.read(op.RequestRange)
			if err != nil {
				return nil, err
			}
			one.Response = &pb.ResponseOp_ResponseRange{ResponseRange: found}
		case *pb.RequestOp_RequestTxn:
			done, err := s.execute(inner[0])
			if err != nil {
				return nil, err
			}
			inner = inner[1:]
			one.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: done}
		}
		answer.Responses = append(answer.Responses, one)
	}
	return answer, nil
}

// holds reports whether a comparison is true, of a range for each key in it (server/v3 etcdserver/txn, applyCompares).
// Of a key or a range that isn't there, everything is zero but the value, which compares with nothing.
func (s *Store) holds(c *pb.Compare) bool {
	found := Find(s.Keys, c.Key, c.RangeEnd)
	if len(found) == 0 {
		return c.Target != pb.Compare_VALUE && compares(c, &mvccpb.KeyValue{})
	}
	return !slices.ContainsFunc(found, func(kv *mvccpb.KeyValue) bool { return !compares(c, kv) })
}

func compares(c *pb.Compare, kv *mvccpb.KeyValue) bool {
	var result int
	switch c.Target {
	case pb.Compare_VALUE:
		result = bytes.Compare(kv.Value, c.GetValue())
	case pb.Compare_CREATE:
		result = cmp.Compare(kv.CreateRevision, c.GetCreateRevision())
	case pb.Compare_MOD:
		result = cmp.Compare(kv.ModRevision, c.GetModRevision())
	case pb.Compare_VERSION:
		result = cmp.Compare(kv.Version, c.GetVersion())
	case pb.Compare_LEASE:
		result = cmp.Compare(kv.Lease, c.GetLease())
	}
	switch c.Result {
	case pb.Compare_GREATER:
		return result > 0
	case pb.Compare_LESS:
		return result < 0
	case pb.Compare_NOT_EQUAL:
		return result != 0
	}
	return result == 0
}

func (s *Store) compact(revision int64) error {
	switch {
	case revision <= s.Compacted:
		return rpctypes.ErrGRPCCompacted
	case revision > s.Revision:
		return rpctypes.ErrGRPCFutureRev
	}
	s.Compacted = revision
	return nil
}

// minLease is the shortest TTL of an etcd with usual settings.
const minLease = 2

func (s *Store) grant(r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	if r.TTL > 9_000_000_000 {
		return nil, rpctypes.ErrGRPCLeaseTTLTooLarge
	}
	id := r.ID
	if id == 0 {
		s.granted++
		id = int64(s.Cluster)<<32 + s.granted //nolint:gosec // cluster ids of fakes are small
	}
	if s.Leases[id] != nil {
		return nil, rpctypes.ErrGRPCLeaseExist
	}
	l := &storedLease{seconds: max(r.TTL, minLease)}
	l.renew()
	s.Leases[id] = l
	return &pb.LeaseGrantResponse{ID: id, TTL: l.seconds}, nil
}

// Missing reports whether there is no such lease.
func (s *Store) Missing(lease int64) bool { return lease != 0 && s.Leases[lease] == nil }

// keysOf returns what hangs on a lease, sorted.
func (s *Store) keysOf(lease int64) []*mvccpb.KeyValue {
	return slices.DeleteFunc(
		Find(s.Keys, []byte{0}, []byte{0}), func(kv *mvccpb.KeyValue) bool { return kv.Lease != lease },
	)
}

// revoke deletes what hangs on a lease in one revision.
func (s *Store) revoke(id int64) error {
	if s.Leases[id] == nil {
		return rpctypes.ErrGRPCLeaseNotFound
	}
	for _, kv := range s.keysOf(id) {
		s.delete(&pb.DeleteRangeRequest{Key: kv.Key})
	}
	delete(s.Leases, id)
	return nil
}
