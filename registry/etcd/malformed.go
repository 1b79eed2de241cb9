package etcd

import (
	"hash/maphash"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// malformed counts the stored values that are no records, and keeps each of them once, to be reported.
type malformed struct {
	mu    sync.Mutex
	count uint64
	seed  maphash.Seed
	keys  map[uint64]bool // hashes of those that were kept, because a key may be as long as etcd takes
	fresh []malformedKey
}

// malformedKey is a key whose value is no record, and why.
type malformedKey struct{ key, reason string }

const (
	// maxMalformed bounds the keys that are reported one by one.
	maxMalformed = 1000
	// maxMalformedText bounds what is kept of a key and of a reason, in bytes.
	maxMalformedText = 300
)

// decode returns the record that is stored, or takes note that it is none and returns nil.
func (m *malformed) decode(d *decoder, kv *mvccpb.KeyValue) *catalogue.Record {
	key := string(kv.Key)
	record, err := d.decode(key, kv.ModRevision, kv.Value)
	if err != nil {
		m.note(key, err)
		return nil
	}
	record.Lease = kv.Lease
	return record
}

func (m *malformed) note(key string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	if m.keys == nil {
		m.seed, m.keys = maphash.MakeSeed(), make(map[uint64]bool)
	}
	hash := maphash.String(m.seed, key)
	if m.keys[hash] || len(m.keys) >= maxMalformed {
		return
	}
	m.keys[hash] = true
	m.fresh = append(m.fresh, malformedKey{clip(key), clip(err.Error())})
}

func clip(s string) string { return s[:min(len(s), maxMalformedText)] }

// take returns what wasn't reported yet. last says that no others will be, because there are too many.
func (m *malformed) take() (fresh []malformedKey, last bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh, m.fresh = m.fresh, nil
	return fresh, len(fresh) > 0 && len(m.keys) == maxMalformed
}

func (m *malformed) total() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}
