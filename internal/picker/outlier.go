package picker

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// Outlier is a node whose last call failed.
//
//	failures ──► ejected ──time over──► probed, by one call ──response──► no outlier any more
//	              ▲                            │
//	              └──── up to twice the time ──┘ no response, or no word of the call
type Outlier struct {
	Node     *catalog.Node
	failures int // calls in a row without a response; under the caller's mutex

	ejections atomic.Int32 // in a row
	until     atomic.Int64 // when its ejection is over, on the caller's clock; 0 if it isn't ejected
	probed    atomic.Bool  // a call was let through since
}

const (
	minEjection = time.Second
	maxEjection = 30 * time.Second
	// maxUnanswered is how many unanswered calls in a row eject a node. A single one may be a slow handler's fault, or
	// go-micro's, whose server loses an answer now and then.
	maxUnanswered = 2
)

// ejectionTime grows with the ejections. Half of it is random, so that clients don't come back together.
func ejectionTime(ejections int32) int64 {
	d := maxEjection
	if shift := max(ejections-1, 0); shift < 5 {
		d = min(minEjection<<shift, maxEjection)
	}
	return int64(d/2 + rand.N(d/2) + 1)
}

// IsEjected reports whether the node isn't picked. A nil outlier isn't one.
func (o *Outlier) IsEjected() bool { return o != nil && o.until.Load() != 0 }

// Is reports whether n is the node, or a copy of it.
func (o *Outlier) Is(n *catalog.Node) bool {
	return o != nil && (o.Node == n || o.Node.Id == n.Id && o.Node.Address == n.Address)
}

// isOver reports whether the ejection is over.
func (o *Outlier) isOver(now int64) bool { return now >= o.until.Load() }

// Probe reports true to one caller when the ejection is over, and begins another one.
func (o *Outlier) Probe(now int64) bool {
	until := o.until.Load()
	if now < until || !o.until.CompareAndSwap(until, now+ejectionTime(o.ejections.Load())) {
		return false
	}
	o.probed.Store(true)
	return true
}

// Fail takes note of a failed call, and reports whether that ejected the node: at once if it can't be reached. Calls
// that were under way when it was ejected don't count. The caller has a mutex.
func (o *Outlier) Fail(unreachable bool, now int64) bool {
	until := o.until.Load()
	if until == 0 {
		o.failures++
		if !unreachable && o.failures < maxUnanswered {
			return false
		}
	} else if !o.probed.Swap(false) && now < until {
		return false
	}
	o.until.Store(max(until, now+ejectionTime(o.ejections.Add(1)))) // a Picker counts on it that this only rises
	return until == 0
}
