package etcd

import (
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// history is how far etcd has come in which cluster, for all that its answers said. Within a
// history revision and raft term never fall; they do when a data directory is wiped or a
// snapshot restored, and cluster and member ids then stay what they were.
type history struct {
	cluster        atomic.Uint64
	revision, term mark
}

// moment is a point in a history.
type moment struct {
	cluster        uint64
	revision, term int64
}

func momentOf(h *pb.ResponseHeader) moment {
	return moment{h.ClusterId, h.Revision, int64(h.RaftTerm)} //nolint:gosec // terms are small
}

// saw takes note of an answer.
func (h *history) saw(header *pb.ResponseHeader) {
	if header == nil {
		return
	}
	now := momentOf(header)
	if h.cluster.Load() != now.cluster {
		h.cluster.Store(now.cluster)
	}
	h.revision.raise(now.revision)
	h.term.raise(now.term)
}

func (h *history) now() moment {
	return moment{h.cluster.Load(), h.revision.Load(), h.term.Load()}
}

// contradicted reports whether an answer belongs to another history than what was known
// before it was asked for. If so, that is the one from now on.
func (h *history) contradicted(known, answer moment) bool {
	if known.cluster == 0 || known.cluster == answer.cluster && known.revision <= answer.revision && known.term <= answer.term {
		return false
	}
	h.cluster.Store(answer.cluster)
	h.revision.Store(answer.revision)
	h.term.Store(answer.term)
	return true
}

func (h *history) forget() {
	h.cluster.Store(0)
	h.revision.Store(0)
	h.term.Store(0)
}
