package etcd

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestSuspensionIsNoticedWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset atomic.Int64
		var noticed atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		s := suspension{
			wall:  func() time.Time { return wallClock().Add(time.Duration(offset.Load())) },
			ended: func() { noticed.Add(1) },
			log:   newLog(&recorder{}),
		}
		done := make(chan struct{})
		go func() { defer close(done); s.watch(ctx) }()

		time.Sleep(time.Hour)
		assert.Zero(t, noticed.Load(), "while the clocks agree")
		offset.Add(int64(clockSlack / 2))
		time.Sleep(time.Minute)
		assert.Zero(t, noticed.Load(), "a clock that was corrected a little")

		offset.Add(int64(time.Minute))
		time.Sleep(time.Second)
		assert.EqualValues(t, 1, noticed.Load(), "time that we have slept through")
		offset.Add(-int64(time.Hour))
		time.Sleep(time.Second)
		assert.EqualValues(t, 2, noticed.Load(), "a clock that was set back")
		time.Sleep(time.Hour)
		assert.EqualValues(t, 2, noticed.Load(), "each is noticed once")
		cancel()
		<-done
	})
}
