package etcdconn

import (
	"errors"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/etcderr"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// authBreaker is a circuit breaker for rejected credentials, because every attempt costs etcd an authentication. While
// it is open, one request passes now and then; the others get its answer. Each client has its own: what comes late of
// the one before says nothing of the credentials that there are now.
type authBreaker struct {
	mu       sync.Mutex
	failures int // in a row
	err      error
	until    time.Time
}

// allow returns the last rejection unless a request may pass, which the next ones then wait for.
func (b *authBreaker) allow() error {
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
func (b *authBreaker) open() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil && time.Now().Before(b.until) {
		return b.err
	}
	return nil
}

// report takes in how a request ended. Whatever etcd answers to somebody it knows proves the credentials good.
func (b *authBreaker) report(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil, etcderr.IsAnswer(err) && !etcderr.IsIdentity(err):
		b.failures, b.err = 0, nil
	case b.err == nil && errors.Is(err, rpctypes.ErrAuthFailed):
		b.tripLocked(err)
	}
}

// trip opens the breaker.
func (b *authBreaker) trip(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tripLocked(err)
}

func (b *authBreaker) tripLocked(err error) {
	b.failures++
	b.err, b.until = err, time.Now().Add(retry.Backoff(b.failures, err))
}

// reset lets everybody ask again.
func (b *authBreaker) reset() { b.report(nil) }
