package etcdconn

import (
	"sync"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/etcderr"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// breaker is a circuit breaker for what only an administrator can mend: rejected credentials, because every attempt
// costs etcd an authentication, and addresses of different clusters, where each would be made to agree with the other.
// While it is open, one request passes now and then; the others get its answer. Each client has its own: what comes
// late of the one before says nothing of the settings that there are now.
type breaker struct {
	mu       sync.Mutex
	failures int // in a row
	err      error
	until    time.Time
}

// allow returns the last rejection unless a request may pass, which the next ones then wait for.
func (b *breaker) allow() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		return nil
	}
	if time.Now().Before(b.until) {
		return b.err
	}
	b.tripLocked(b.err)
	return nil
}

// open returns the last rejection while no request may pass. It lets nobody through.
func (b *breaker) open() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil && time.Now().Before(b.until) {
		return b.err
	}
	return nil
}

// report takes in how a request ended. Whatever etcd answers to somebody it knows proves the credentials good.
func (b *breaker) report(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case etcderr.TripsBreaker(err):
		if b.err == nil {
			b.tripLocked(err)
		}
	case err == nil, etcderr.IsAnswer(err) && !etcderr.IsIdentity(err):
		b.failures, b.err = 0, nil
	}
}

// trip opens the breaker.
func (b *breaker) trip(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tripLocked(err)
}

func (b *breaker) tripLocked(err error) {
	b.failures++
	b.err, b.until = err, time.Now().Add(retry.Backoff(b.failures, err))
}

// reset lets everybody ask again.
func (b *breaker) reset() { b.report(nil) }
