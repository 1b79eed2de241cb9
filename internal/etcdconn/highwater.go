package etcdconn

import (
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// HighWater is how far etcd has come in which cluster, as far as its answers said. Revision and raft term never fall,
// unless a data directory is wiped or a snapshot restored; cluster and member ids stay what they were then.
type HighWater struct {
	cluster        atomic.Uint64
	revision, term atomicMax
}

// Position is how far etcd had come when it answered.
type Position struct {
	Cluster        uint64
	Revision, Term int64
}

// PositionOf returns where etcd was when it answered.
func PositionOf(h *pb.ResponseHeader) Position {
	return Position{h.ClusterId, h.Revision, int64(h.RaftTerm)} //nolint:gosec // terms are small
}

// observe takes note of an answer.
func (h *HighWater) observe(header *pb.ResponseHeader) {
	if header == nil {
		return
	}
	now := PositionOf(header)
	if h.cluster.Load() != now.Cluster {
		h.cluster.Store(now.Cluster)
	}
	h.revision.advance(now.Revision)
	h.term.advance(now.Term)
}

// Now returns the position.
func (h *HighWater) Now() Position {
	return Position{h.cluster.Load(), h.revision.Load(), h.term.Load()}
}

// Regressed reports whether an answer says that etcd was rolled back, or is another one, since what was known before it
// was asked for. If so, the answer is what counts from now on.
func (h *HighWater) Regressed(known, answer Position) bool {
	if known.Cluster == 0 ||
		known.Cluster == answer.Cluster && known.Revision <= answer.Revision && known.Term <= answer.Term {
		return false
	}
	h.cluster.Store(answer.Cluster)
	h.revision.Store(answer.Revision)
	h.term.Store(answer.Term)
	return true
}

// Reset begins anew.
func (h *HighWater) Reset() {
	h.cluster.Store(0)
	h.revision.Store(0)
	h.term.Store(0)
}

// atomicMax is a number that several advance at the same time. Store begins anew.
type atomicMax struct{ atomic.Int64 }

func (m *atomicMax) advance(to int64) {
	for {
		now := m.Load()
		if to <= now || m.CompareAndSwap(now, to) {
			return
		}
	}
}
