package etcd

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// suspect is a node whose last call failed.
//
//	strikes ──► aside ──time over──► tried, by one call ──answer──► no suspect any more
//	              ▲                            │
//	              └──── up to twice the time ──┘ no answer, or no word of the call
type suspect struct {
	node    *catalog.Node
	strikes int // calls in a row without an answer; under pool.mu

	failures atomic.Int32 // how often it was set aside in a row
	until    atomic.Int64 // when its time aside is over, on the setup's clock; 0 if it isn't aside
	tried    atomic.Bool  // a call was let through since
}

const (
	minAside = time.Second
	maxAside = 30 * time.Second
	// maxStrikes is how many unanswered calls in a row set a node aside. A single one may be a
	// slow handler's fault, or go-micro's, whose server loses an answer now and then.
	maxStrikes = 2
)

// timeAside grows with the failures. Half of it is random, so that clients don't come back together.
func timeAside(failures int32) int64 {
	d := maxAside
	if shift := max(failures-1, 0); shift < 5 {
		d = min(minAside<<shift, maxAside)
	}
	return int64(d/2 + rand.N(d/2) + 1)
}

func (s *suspect) isAside() bool { return s != nil && s.until.Load() != 0 }

// is reports whether n is the node, or a copy of it.
func (s *suspect) is(n *catalog.Node) bool {
	return s != nil && (s.node == n || s.node.Id == n.Id && s.node.Address == n.Address)
}

// try reports true to one caller when the time aside is over, and begins another one.
func (s *suspect) try(now int64) bool {
	until := s.until.Load()
	if now < until || !s.until.CompareAndSwap(until, now+timeAside(s.failures.Load())) {
		return false
	}
	s.tried.Store(true)
	return true
}

// fail takes note of a failed call, and reports whether that set the node aside. It needs pool.mu. Calls
// that were under way when it was set aside don't count.
func (s *suspect) fail(v verdict, now int64) bool {
	until := s.until.Load()
	if until == 0 {
		s.strikes++
		if v == unanswered && s.strikes < maxStrikes {
			return false
		}
	} else if !s.tried.Swap(false) && now < until {
		return false
	}
	s.until.Store(now + timeAside(s.failures.Add(1)))
	return until == 0
}
