package etcd

import (
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// highWater is how far etcd has come in which cluster, as far as its answers said. Revision and raft term never fall,
// unless a data directory is wiped or a snapshot restored; cluster and member ids stay what they were then.
type highWater struct {
	cluster        atomic.Uint64
	revision, term mark
}

// position is how far etcd had come when it answered.
type position struct {
	cluster        uint64
	revision, term int64
}

func positionOf(h *pb.ResponseHeader) position {
	return position{h.ClusterId, h.Revision, int64(h.RaftTerm)} //nolint:gosec // terms are small
}

// observe takes note of an answer.
func (h *highWater) observe(header *pb.ResponseHeader) {
	if header == nil {
		return
	}
	now := positionOf(header)
	if h.cluster.Load() != now.cluster {
		h.cluster.Store(now.cluster)
	}
	h.revision.raise(now.revision)
	h.term.raise(now.term)
}

func (h *highWater) now() position {
	return position{h.cluster.Load(), h.revision.Load(), h.term.Load()}
}

// regressed reports whether an answer says that etcd was rolled back, or is another one, since what was known before it
// was asked for. If so, the answer is what counts from now on.
func (h *highWater) regressed(known, answer position) bool {
	if known.cluster == 0 || known.cluster == answer.cluster && known.revision <= answer.revision && known.term <= answer.term {
		return false
	}
	h.cluster.Store(answer.cluster)
	h.revision.Store(answer.revision)
	h.term.Store(answer.term)
	return true
}

func (h *highWater) reset() {
	h.cluster.Store(0)
	h.revision.Store(0)
	h.term.Store(0)
}

// mark is a number that others may raise at the same time: raise only raises it; Store begins anew.
type mark struct{ atomic.Int64 }

func (m *mark) raise(to int64) {
	for {
		now := m.Load()
		if to <= now || m.CompareAndSwap(now, to) {
			return
		}
	}
}
