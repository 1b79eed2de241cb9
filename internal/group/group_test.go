package group

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCloseWaitsForTheGroupAndRefusesMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group
		began := time.Now()
		require.True(t, g.Run(func() {
			time.Sleep(time.Second)
			require.False(t, g.Run(func() { t.Error("must not run") }), "refused while it is being closed")
			time.Sleep(time.Second)
		}))
		for range 2 {
			g.Close()
			require.Equal(t, 2*time.Second, time.Since(began))
		}
		require.False(t, g.Run(func() { t.Error("must not run") }))
	})
}

func TestWhatAGroupAcceptedHasEndedAfterClose(t *testing.T) {
	for range 200 {
		var g Group
		var accepted, ended atomic.Int64
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				for g.Run(func() { ended.Add(1) }) {
					accepted.Add(1)
				}
			})
		}
		g.Close()
		after := ended.Load()
		callers.Wait()
		require.Equal(t, accepted.Load(), after)
	}
}
