package etcd

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

// fakeStore is what an etcd has in its data directory: keys with their history, and leases.
// Key-values and events never change once they are made. It is for one goroutine at a time.
type fakeStore struct {
	cluster, term       uint64
	revision, compacted int64
	keys                map[string]*mvccpb.KeyValue
	events              []*mvccpb.Event // of all times, in order
	leases              map[int64]*fakeLease
	granted             int64 // the last lease id; goes on after a wipe, as etcd's ids never repeat
}

type fakeLease struct {
	seconds int64
	expires time.Time
}

func (l *fakeLease) renew() { l.expires = time.Now().Add(time.Duration(l.seconds) * time.Second) }

func newFakeStore(cluster uint64) *fakeStore {
	return &fakeStore{
		cluster: cluster, term: 2, revision: 1,
		keys: make(map[string]*mvccpb.KeyValue), leases: make(map[int64]*fakeLease),
	}
}

// snapshot returns a copy, as etcdctl snapshot save does.
func (s *fakeStore) snapshot() *fakeStore {
	c := *s
	c.keys, c.events, c.leases = maps.Clone(s.keys), slices.Clone(s.events), make(map[int64]*fakeLease)
	for id, l := range s.leases {
		c.leases[id] = &fakeLease{seconds: l.seconds}
	}
	return &c
}

func (s *fakeStore) header() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: s.cluster, MemberId: 1, RaftTerm: s.term, Revision: s.revision}
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

// find returns what there is in a range, sorted by key.
func find(keys map[string]*mvccpb.KeyValue, first, end []byte) []*mvccpb.KeyValue {
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
func (s *fakeStore) at(revision int64) map[string]*mvccpb.KeyValue {
	if revision == s.revision {
		return s.keys
	}
	keys := make(map[string]*mvccpb.KeyValue)
	for _, e := range s.events {
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

func (s *fakeStore) read(r *pb.RangeRequest) (*pb.RangeResponse, error) {
	revision := cmp.Or(r.Revision, s.revision)
	switch {
	case len(r.Key) == 0:
		return nil, rpctypes.ErrGRPCEmptyKey
	case revision > s.revision:
		return nil, rpctypes.ErrGRPCFutureRev
	case revision < s.compacted:
		return nil, rpctypes.ErrGRPCCompacted
	}
	found := find(s.at(revision), r.Key, r.RangeEnd)
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

func (s *fakeStore) eventsFrom(revision int64) []*mvccpb.Event {
	at, _ := slices.BinarySearchFunc(s.events, revision, func(e *mvccpb.Event, r int64) int { return cmp.Compare(e.Kv.ModRevision, r) })
	return s.events[at:]
}

// A change is made at the next revision, which begins with the first write and ends with commit.

func (s *fakeStore) write(e *mvccpb.Event) { s.events = append(s.events, e) }

func (s *fakeStore) commit() []*mvccpb.Event {
	fresh := s.eventsFrom(s.revision + 1)
	if len(fresh) > 0 {
		s.revision++
	}
	return fresh
}

func (s *fakeStore) put(r *pb.PutRequest) *pb.PutResponse {
	kv := &mvccpb.KeyValue{
		Key: r.Key, Value: r.Value, Lease: r.Lease,
		CreateRevision: s.revision + 1, ModRevision: s.revision + 1, Version: 1,
	}
	if before := s.keys[string(r.Key)]; before != nil {
		kv.CreateRevision, kv.Version = before.CreateRevision, before.Version+1
	}
	s.keys[string(r.Key)] = kv
	s.write(&mvccpb.Event{Type: mvccpb.PUT, Kv: kv})
	return &pb.PutResponse{Header: &pb.ResponseHeader{Revision: s.revision + 1}}
}

func (s *fakeStore) delete(r *pb.DeleteRangeRequest) *pb.DeleteRangeResponse {
	found := find(s.keys, r.Key, r.RangeEnd)
	for _, kv := range found {
		delete(s.keys, string(kv.Key))
		s.write(&mvccpb.Event{Type: mvccpb.DELETE, Kv: &mvccpb.KeyValue{Key: kv.Key, ModRevision: s.revision + 1}})
	}
	revision := s.revision
	if len(found) > 0 {
		revision++
	}
	return &pb.DeleteRangeResponse{Header: &pb.ResponseHeader{Revision: revision}, Deleted: int64(len(found))}
}

// txn does one branch of a transaction. All comparisons, also of transactions within, are of the
// state before; reads are of the state that they come to.
func (s *fakeStore) txn(r *pb.TxnRequest) (*pb.TxnResponse, error) {
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

func (s *fakeStore) choose(r *pb.TxnRequest) *branch {
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

func (s *fakeStore) check(b *branch) error {
	for _, op := range b.ops {
		if p := op.GetRequestPut(); p != nil && s.missing(p.Lease) {
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

func (s *fakeStore) execute(b *branch) (*pb.TxnResponse, error) {
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

// holds reports whether a comparison is true. Of a key that isn't there, everything is zero
// but the value, which compares with nothing.
func (s *fakeStore) holds(c *pb.Compare) bool {
	kv := s.keys[string(c.Key)]
	if kv == nil {
		if c.Target == pb.Compare_VALUE {
			return false
		}
		kv = &mvccpb.KeyValue{}
	}
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

func (s *fakeStore) compact(revision int64) error {
	switch {
	case revision <= s.compacted:
		return rpctypes.ErrGRPCCompacted
	case revision > s.revision:
		return rpctypes.ErrGRPCFutureRev
	}
	s.compacted = revision
	return nil
}

// minLease is the shortest TTL of an etcd with usual settings.
const minLease = 2

func (s *fakeStore) grant(r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	if r.TTL > 9_000_000_000 {
		return nil, rpctypes.ErrGRPCLeaseTTLTooLarge
	}
	id := r.ID
	if id == 0 {
		s.granted++
		id = int64(s.cluster)<<32 + s.granted //nolint:gosec // cluster ids of fakes are small
	}
	if s.leases[id] != nil {
		return nil, rpctypes.ErrGRPCLeaseExist
	}
	l := &fakeLease{seconds: max(r.TTL, minLease)}
	l.renew()
	s.leases[id] = l
	return &pb.LeaseGrantResponse{ID: id, TTL: l.seconds}, nil
}

func (s *fakeStore) missing(lease int64) bool { return lease != 0 && s.leases[lease] == nil }

// keysOf returns what hangs on a lease, sorted.
func (s *fakeStore) keysOf(lease int64) []*mvccpb.KeyValue {
	return slices.DeleteFunc(find(s.keys, []byte{0}, []byte{0}), func(kv *mvccpb.KeyValue) bool { return kv.Lease != lease })
}

// revoke deletes what hangs on a lease in one revision.
func (s *fakeStore) revoke(id int64) error {
	if s.leases[id] == nil {
		return rpctypes.ErrGRPCLeaseNotFound
	}
	for _, kv := range s.keysOf(id) {
		s.delete(&pb.DeleteRangeRequest{Key: kv.Key})
	}
	delete(s.leases, id)
	return nil
}
