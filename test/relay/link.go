package relay

import (
	"sync"
	"time"
)

// Direction is one way through a link.
type Direction int

// The ways through a link.
const (
	ToServer Direction = iota
	ToClient
)

// Link is a network path on which faults can be put. While a direction is held, what is sent waits and is delivered
// later, as TCP does with packets that are lost for a while: no reset, and no end of a connection comes through either.
// A new connection is accepted by the relay and then hears nothing.
type Link struct {
	mu      sync.Mutex
	held    [2]bool
	delay   [2]time.Duration
	changed chan struct{} // closed at every change
}

// NewLink returns a link without a fault.
func NewLink() *Link { return &Link{changed: make(chan struct{})} }

func (l *Link) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

// Hold makes what is sent wait, until Heal.
func (l *Link) Hold(ways ...Direction) {
	l.change(func() {
		for _, w := range ways {
			l.held[w] = true
		}
	})
}

// Slow delays every byte of a direction, and with it the beginning of new connections.
func (l *Link) Slow(way Direction, by time.Duration) { l.change(func() { l.delay[way] = by }) }

// Heal undoes Hold and Slow.
func (l *Link) Heal() {
	l.change(func() { l.held, l.delay = [2]bool{}, [2]time.Duration{} })
}

// pass waits until a direction is open, and reports whether it came to that before done.
func (l *Link) pass(way Direction, done <-chan struct{}) bool {
	for {
		l.mu.Lock()
		held, changed := l.held[way], l.changed
		l.mu.Unlock()
		if !held {
			return true
		}
		select {
		case <-changed:
		case <-done:
			return false
		}
	}
}

func (l *Link) latency(way Direction) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.delay[way]
}
