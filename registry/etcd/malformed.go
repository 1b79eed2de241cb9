package etcd

import "sync"

// malformed counts the stored values that are no records, and logs each of them once.
type malformed struct {
	log func() log

	mu    sync.Mutex
	count uint64
	keys  map[string]bool // logged ones
}

// maxMalformed bounds the keys that are logged one by one.
const maxMalformed = 1000

func (m *malformed) note(key string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	if m.keys[key] || len(m.keys) >= maxMalformed {
		return
	}
	if m.keys == nil {
		m.keys = make(map[string]bool)
	}
	m.keys[key] = true
	m.log().warnf("skipping %.300q: %.300v", key, err.Error())
	if len(m.keys) == maxMalformed {
		m.log().warnf("that was malformed record number %d; Status goes on counting them", maxMalformed)
	}
}

func (m *malformed) total() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}
