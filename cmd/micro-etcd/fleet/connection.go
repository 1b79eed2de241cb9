package fleet

import (
	"context"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// Connect returns a client, which stays the caller's to close, or why there is none.
type Connect func(context.Context) (*clientv3.Client, error)

const connectTime = time.Second // between two attempts

// Await calls connect until there is a client, and returns nil if ctx ends before. It tells failed of each error, but
// for that end.
func Await(ctx context.Context, connect Connect, failed func(error)) *clientv3.Client {
	for ctx.Err() == nil {
		next := time.Now().Add(connectTime)
		client, err := connect(ctx)
		switch {
		case err == nil:
			return client
		case ctx.Err() != nil:
			return nil
		}
		failed(err)
		retry.Sleep(ctx, time.Until(next))
	}
	return nil
}

// connection is how a fleet is read and watched. It requires a leader, because a member without one keeps a request
// until its deadline, and says that a watch is created and then nothing.
type connection struct {
	client  *clientv3.Client
	watches *etcdconn.Watches // nil for one that only reads
	running sync.WaitGroup    // the goroutines of watches, which end with their context
}

// newConnection returns one that can watch until ctx ends.
func newConnection(ctx context.Context, client *clientv3.Client) *connection {
	c := &connection{client: client}
	c.watches = &etcdconn.Watches{
		Context: clientv3.WithRequireLeader(ctx),
		Open: func(ctx context.Context) (pb.Watch_WatchClient, error) {
			return pb.NewWatchClient(client.ActiveConnection()).Watch(
				ctx, grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(1<<31-1),
			)
		},
		Ended: func(error) {}, // each watch has the error
		Go:    func(f func()) bool { c.running.Go(f); return true },
	}
	return c
}

func (c *connection) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return c.client.Get(clientv3.WithRequireLeader(ctx), key, opts...)
}

func (c *connection) Watch(prefix string, from int64) (reflector.Watch, error) {
	return c.watches.Watch(prefix, clientv3.GetPrefixRangeEnd(prefix), from), nil
}
