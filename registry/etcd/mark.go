package etcd

import "sync/atomic"

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
