package retry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// spread returns the shortest and the longest of many waits.
func spread(failures int, err error) (shortest, longest time.Duration) {
	shortest = time.Hour
	for range 2000 {
		d := Backoff(failures, err)
		shortest, longest = min(shortest, d), max(longest, d)
	}
	return shortest, longest
}

func TestBackoffDoublesUpToItsLimit(t *testing.T) {
	for failures, limit := range map[int]time.Duration{
		-1: Base, 0: Base, 1: Base, 2: 2 * Base, 3: 4 * Base, 4: 8 * Base,
		5: Max, 6: Max, 100: Max, math.MaxInt: Max,
	} {
		shortest, longest := spread(failures, errors.New("unavailable"))
		require.GreaterOrEqual(t, shortest, limit/2, failures)
		require.LessOrEqual(t, longest, limit, failures)
	}
}

func TestHalfOfABackoffIsRandom(t *testing.T) {
	shortest, longest := spread(10, nil)
	require.Less(t, shortest, Max*6/10)
	require.Greater(t, longest, Max*9/10)
}

func TestTheLongestBackoffLeavesTimeForARoundTripWithinASecond(t *testing.T) {
	require.LessOrEqual(t, Max, 900*time.Millisecond)
}

func TestARefusalIsRetriedMoreSlowly(t *testing.T) {
	for _, err := range []error{rpctypes.ErrPermissionDenied, fmt.Errorf("register: %w", rpctypes.ErrAuthFailed)} {
		first, _ := spread(1, err)
		require.Less(t, first, Base, "the first retry is as quick as any")
		shortest, longest := spread(100, err)
		require.GreaterOrEqual(t, shortest, MaxRefused/2)
		require.LessOrEqual(t, longest, MaxRefused)
	}
}

func TestAPauseEndsInTimeOrWithItsContextOrWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := func(ctx context.Context, asked <-chan struct{}) time.Duration {
			began := time.Now()
			Pause(ctx, time.Minute, asked)
			return time.Since(began)
		}
		require.Equal(t, time.Minute, took(t.Context(), nil))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, time.Second, took(ctx, nil))

		asked := make(chan struct{}, 1)
		time.AfterFunc(2*time.Second, func() { asked <- struct{}{} })
		require.Equal(t, 2*time.Second, took(t.Context(), asked))
	})
}
