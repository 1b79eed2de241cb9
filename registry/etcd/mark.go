package etcd

import "sync/atomic"

// mark is a number that only rises.
type mark struct{ atomic.Int64 }

func (m *mark) raise(to int64) {
	for {
		now := m.Load()
		if to <= now || m.CompareAndSwap(now, to) {
			return
		}
	}
}
