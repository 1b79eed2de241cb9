package etcd

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// call runs one request on the current client, and once more on the next one when Init
// replaced the client meanwhile. ctx must have a deadline.
func call[T answer](ctx context.Context, c *connector, request func(context.Context, *link) (T, error)) (T, error) {
	return try(ctx, c, func(ctx context.Context, l *link) (T, error) {
		ctx, cancel := l.during(ctx)
		defer cancel()
		return measure(ctx, c.metrics, func() (T, error) { return request(ctx, l) })
	})
}

// callWhole is call for a request that leaves something in etcd. It isn't cut off when Init
// replaces the client: nobody would know what it left.
func callWhole[T answer](ctx context.Context, c *connector, request func(context.Context, *link) (T, error)) (T, error) {
	return try(ctx, c, func(ctx context.Context, l *link) (T, error) {
		l.busy.RLock()
		defer l.busy.RUnlock()
		return measure(ctx, c.metrics, func() (T, error) { return request(ctx, l) })
	})
}

// try requires a leader, because a member without one keeps a request until its deadline.
func try[T any](ctx context.Context, c *connector, request func(context.Context, *link) (T, error)) (T, error) {
	ctx = clientv3.WithRequireLeader(ctx)
	for {
		l, err := c.link(ctx)
		if err == nil {
			var answer T
			answer, err = request(ctx, l)
			c.heed(l, err)
			if err == nil {
				return answer, nil
			}
			if l.ctx.Err() != nil && ctx.Err() == nil && c.ctx.Err() == nil {
				continue
			}
		}
		err = c.explain(ctx, l, err)
		if errors.Is(err, errReplaced) && ctx.Err() == nil {
			continue
		}
		if cause := context.Cause(ctx); errors.Is(cause, ErrClosed) {
			err = cause
		}
		var none T
		return none, err
	}
}

// get reads within a time, and takes note of what that says about etcd's history.
func get(ctx context.Context, c *connector, timeout time.Duration, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return call(ctx, c, func(ctx context.Context, l *link) (*clientv3.GetResponse, error) {
		answer, err := l.Get(ctx, key, opts...)
		if err == nil {
			l.history.saw(answer.Header)
		}
		return answer, err
	})
}
