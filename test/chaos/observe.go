package chaos

import (
	"context"
	"maps"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
)

const (
	observeEvery   = 20 * time.Millisecond
	observeTimeout = 300 * time.Millisecond
)

// observe tells the history what etcd holds, whenever that changes, or that it can't be asked.
func observe(ctx context.Context, c *cluster.Cluster, h *history.History) {
	ticker := time.NewTicker(observeEvery)
	defer ticker.Stop()
	first, last, before := true, history.Event{}, time.Time{}
	for {
		now := history.Event{Kind: history.KindTruth, At: time.Now(), Records: map[string]string{}}
		if err := c.Try(ctx, observeTimeout, func(ctx context.Context, client *clientv3.Client) error {
			clear(now.Records)
			return readRecords(ctx, client, now.Records)
		}); err != nil {
			now.Records, now.Err = nil, "unreachable"
		}
		now.Took = time.Since(now.At)
		if ctx.Err() != nil {
			h.Add(history.Event{Kind: history.KindTruth, Err: "nobody looks any more", Before: before})
			return
		}
		if first || now.Err != last.Err || !maps.Equal(now.Records, last.Records) {
			now.Before = before
			h.Add(now)
			first, last = false, now
		}
		before = now.At
		h.Observed.Store(now.At.UnixNano())
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func readRecords(ctx context.Context, c *clientv3.Client, into map[string]string) error {
	all, err := c.Get(ctx, etcd.DefaultPrefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	for _, kv := range all.Kvs {
		value := string(kv.Value)
		if s := record.Parse(value); s != nil {
			value = record.Canonical(s)
		}
		into[strings.TrimPrefix(string(kv.Key), etcd.DefaultPrefix)] = value
	}
	return nil
}
