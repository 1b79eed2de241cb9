package etcd

import "context"

// slots bound how many do something at one time: each who does has a token in the channel.
type slots chan struct{}

// enter waits for a slot, which leave gives back.
func (s slots) enter(ctx context.Context) (leave func(), err error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
