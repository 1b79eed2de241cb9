package fleet

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachDoesAllOfAWorkAFewAtATimeAndTellsOfEach(t *testing.T) {
	var under, above atomic.Int64
	var told []int
	results := make([]int, 50)
	progress := Progress(func(done, _ int) { told = append(told, done) })
	require.NoError(t, progress.Each(t.Context(), len(results), 4, func(_ context.Context, i int) error {
		if now := under.Add(1); now > 4 {
			above.Store(now)
		}
		defer under.Add(-1)
		results[i] = i + 1
		return nil
	}))
	require.Zero(t, above.Load(), "more than the limit at a time")
	for i := range results {
		require.Equal(t, i+1, results[i])
		require.Equal(t, i+1, told[i])
	}
}

func TestEachEndsWithItsFirstError(t *testing.T) {
	failed := errors.New("failed")
	err := Progress(nil).Each(t.Context(), 3, 3, func(ctx context.Context, i int) error {
		if i == 0 {
			return failed
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	require.ErrorIs(t, err, failed)
}
