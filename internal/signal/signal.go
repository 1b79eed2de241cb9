// Package signal wakes a goroutine that has something to do.
package signal

// Signal is a channel that holds at most one token. Whoever receives it looks for what there is to do, all of it.
type Signal chan struct{}

// New returns a signal that hasn't been sent.
func New() Signal { return make(Signal, 1) }

// Send wakes who receives, now or later. Until then sending again changes nothing. It doesn't block.
func (s Signal) Send() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// IsClosed reports whether a channel is closed to which nobody sends: whether what it stands for has happened.
func IsClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
