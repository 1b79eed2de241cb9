package chaos

import (
	"context"
	"maps"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	observeEvery   = 20 * time.Millisecond
	observeTimeout = 300 * time.Millisecond
)

// observe tells the history what etcd holds, whenever that changes, or that it can't be asked.
func observe(ctx context.Context, c *cluster, h *history) {
	ticker := time.NewTicker(observeEvery)
	defer ticker.Stop()
	first, last, before := true, event{}, time.Time{}
	for {
		now := event{Kind: kindTruth, At: time.Now(), Records: map[string]string{}}
		if err := c.try(ctx, observeTimeout, func(ctx context.Context, client *clientv3.Client) error {
			clear(now.Records)
			return readRecords(ctx, client, now.Records)
		}); err != nil {
			now.Records, now.Err = nil, "unreachable"
		}
		now.Took = time.Since(now.At)
		if ctx.Err() != nil {
			h.add(event{Kind: kindTruth, Err: "nobody looks any more", Before: before})
			return
		}
		if first || now.Err != last.Err || !maps.Equal(now.Records, last.Records) {
			now.Before = before
			h.add(now)
			first, last = false, now
		}
		before = now.At
		h.observed.Store(now.At.UnixNano())
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}
