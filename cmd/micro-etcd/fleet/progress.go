package fleet

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Progress is told how much of a long work is done, by one goroutine at a time. It may be nil.
type Progress func(done, all int)

func (p Progress) tell(done, all int) {
	if p != nil {
		p(done, all)
	}
}

// Each calls do with 0 to n-1, at most limit at a time, and tells after each how many are done. It returns the first
// error, with which the context of the others ends.
func (p Progress) Each(ctx context.Context, n, limit int, do func(ctx context.Context, i int) error) error {
	var mu sync.Mutex
	done := 0
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(limit)
	for i := range n {
		group.Go(func() error {
			if err := do(ctx, i); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			p.tell(done, n)
			return nil
		})
	}
	return group.Wait()
}
