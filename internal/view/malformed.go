package view

import (
	"hash/maphash"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// malformed counts the stored values that are no records, and keeps each of them once to be logged.
type malformed struct {
	changed func() // called when there is another one; doesn't block

	mu    sync.Mutex
	count uint64
	seed  maphash.Seed
	keys  map[uint64]bool // hashes of those that were kept, because a key may be as long as etcd takes
	fresh []malformedValue
}

// malformedValue is one that hasn't been logged yet.
type malformedValue struct {
	Key, Reason string // clipped
	Last        bool   // no more are logged
}

// maxClip bounds what is kept of a key or a reason, in bytes.
const maxClip = 300

// MaxMalformed bounds the keys that are logged one by one.
const MaxMalformed = 1000

// Decode returns the record that is stored, or nil for what is none, and takes note of that unless it is the notice of
// a node that is out of service.
func (m *malformed) Decode(d *catalog.Decoder, kv *mvccpb.KeyValue) *catalog.Record {
	key := string(kv.Key)
	record, err := d.Decode(key, kv.ModRevision, kv.Value)
	if err != nil {
		if !d.IsNotice(key, kv.Value) {
			m.note(key, err)
		}
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
	if m.keys[hash] || len(m.keys) >= MaxMalformed {
		return
	}
	m.keys[hash] = true
	m.fresh = append(m.fresh, malformedValue{clip(key), clip(err.Error()), len(m.keys) == MaxMalformed})
	m.changed()
}

func clip(s string) string { return strings.Clone(s[:min(len(s), maxClip)]) }

// Take returns those that haven't been logged yet.
func (m *malformed) Take() []malformedValue {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh := m.fresh
	m.fresh = nil
	return fresh
}

func (m *malformed) Total() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}
