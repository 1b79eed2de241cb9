package etcd

import (
	"math/rand/v2"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/registration"
	"github.com/micro-etcd/micro-etcd/internal/view"
)

// sample is a part of what this registry knows of etcd, small enough to be compared in one request.
// Only what the registry uses is read: with least privilege it may read nothing else.
type sample struct {
	spots []spot
	count *count // nil for none
}

// spot is a key that is known.
type spot struct {
	key     string
	writing // the last one of it, when the sample was taken
	source
}

// writing is when a key was written, and on which lease. After etcd's data were wiped another writing may
// have the same revision, but not the same lease: its id has the time in it (pkg/v3 idutil).
type writing struct{ revision, lease int64 }

func lastWriting(r *catalog.Record) writing { return writing{r.Revision, r.Lease} }

// anyLease is that of a writing whose lease isn't known.
const anyLease = -1

func (w writing) is(kv *mvccpb.KeyValue) bool {
	return w.revision == kv.ModRevision && (w.lease == kv.Lease || w.lease == anyLease)
}

// source knows how a key was last written; the zero writing means that it doesn't know the key.
type source interface{ writingOf(key string) writing }

// count is the number of keys in a view. Watches have lost events that etcd had (etcd-io/etcd#18089).
type count struct {
	view    *view.View
	keys    int
	applied int64 // the last event that this is after
}

// maxSpots bounds a sample's keys.
const maxSpots = 16

// draw takes a few of many spots: the newest one, because that is what a restored snapshot
// lacks; the oldest, because of that a history which has overtaken ours has sent us nothing; and
// any others.
type draw struct {
	oldest, newest spot
	others         []spot
	seen           int
}

func (d *draw) add(s spot) {
	d.seen++
	if d.seen == 1 || s.revision < d.oldest.revision {
		d.oldest = s
	}
	if d.seen == 1 || s.revision > d.newest.revision {
		d.newest = s
	}
	if len(d.others) < maxSpots {
		d.others = append(d.others, s)
	} else if i := rand.N(d.seen); i < maxSpots {
		d.others[i] = s
	}
}

func (d *draw) spots() []spot {
	if d.seen <= maxSpots {
		return d.others
	}
	rand.Shuffle(len(d.others), func(i, j int) { d.others[i], d.others[j] = d.others[j], d.others[i] })
	for i, s := range []spot{d.oldest, d.newest} {
		if at := slices.Index(d.others, s); at >= 0 {
			d.others[at] = d.others[i]
		}
		d.others[i] = s
	}
	return d.others
}

func (s sample) empty() bool { return len(s.spots) == 0 && s.count == nil }

// reads returns what to ask etcd for: each spot, then the count.
func (s sample) reads() []clientv3.Op {
	var reads []clientv3.Op
	for _, spot := range s.spots {
		reads = append(reads, clientv3.OpGet(spot.key, clientv3.WithKeysOnly()))
	}
	if s.count != nil {
		reads = append(reads, clientv3.OpGet(s.count.view.Prefix, clientv3.WithPrefix(), clientv3.WithCountOnly()))
	}
	return reads
}

// unmoved returns the part of the sample that still is as it was: of the rest, news has come.
func (s sample) unmoved() sample {
	s.spots = slices.DeleteFunc(s.spots, func(spot spot) bool { return spot.writingOf(spot.key) != spot.writing })
	if s.count != nil && *s.count != countOf(s.count.view) {
		s.count = nil
	}
	return s
}

// viewKeys are the keys of a view, as a source.
type viewKeys struct{ *view.View }

// offer adds them to a draw.
func (k viewKeys) offer(d *draw) {
	for r := range k.Records {
		d.add(spot{r.Key, lastWriting(r), k})
	}
}

func (k viewKeys) writingOf(key string) writing {
	if r := k.Record(key); r != nil {
		return lastWriting(r)
	}
	return writing{}
}

func countOf(m *view.View) count {
	keys, applied := m.Size()
	return count{m, keys, applied}
}

// ownKeys are the keys of a registrar, as a source.
type ownKeys struct{ *registration.Registrar }

// offer adds the keys of which is known who has them to a draw.
func (k ownKeys) offer(d *draw) {
	k.Written(func(key string, revision int64) bool {
		d.add(spot{key, writing{revision, anyLease}, k})
		return true
	})
}

func (k ownKeys) writingOf(key string) writing {
	if revision, ok := k.RevisionOf(key); ok {
		return writing{revision, anyLease}
	}
	return writing{}
}
