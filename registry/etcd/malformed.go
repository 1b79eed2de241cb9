package etcd

import (
	"hash/maphash"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// malformed counts the stored values that are no records, and logs each of them once.
type malformed struct {
	log *log

	mu    sync.Mutex
	count uint64
	seed  maphash.Seed
	keys  map[uint64]bool // hashes of logged ones, because a key may be as long as etcd takes
}

// maxMalformed bounds the keys that are logged one by one.
const maxMalformed = 1000

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
	m.log.warnf("skipping %.300q: %.300v", key, err.Error())
	if len(m.keys) == maxMalformed {
		m.log.warnf("that was malformed record number %d; Status goes on counting them", maxMalformed)
	}
}

func (m *malformed) total() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}
