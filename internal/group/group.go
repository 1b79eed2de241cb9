// Package group waits for goroutines.
package group

import "sync"

// Group waits for the goroutines of a registry. Unlike a bare WaitGroup it may be asked for more while it is being
// waited for, and then refuses.
type Group struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

// Run starts f unless the group is closed, and reports whether it did.
func (g *Group) Run(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.wg.Go(f)
	return true
}

// Close refuses further goroutines and waits for those there are.
func (g *Group) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.wg.Wait()
}
