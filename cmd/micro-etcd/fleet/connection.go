package fleet

import (
	"context"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"

	"github.com/micro-etcd/micro-etcd/internal/reflector"
)

// connection is how a fleet is read and watched. It requires a leader, because a member without one keeps a request
// until its deadline, and says that a watch is created and then nothing.
type connection struct {
	client  *clientv3.Client
	watches int // so far
}

// streamKey is gRPC metadata that tells one watch stream from another: watches with equal metadata
// share one (client/v3 watch.go, streamKeyFromCtx), and one whose token has expired refuses new
// watches for ever.
const streamKey = "micro-etcd-fleet-stream"

func (c *connection) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return c.client.Get(clientv3.WithRequireLeader(ctx), key, opts...)
}

func (c *connection) Watch(ctx context.Context, prefix string, from int64) <-chan reflector.WatchResponse {
	c.watches++
	ctx = metadata.AppendToOutgoingContext(ctx, streamKey, strconv.Itoa(c.watches))
	responses := make(chan reflector.WatchResponse)
	go func() {
		defer close(responses)
		events := c.client.Watch(clientv3.WithRequireLeader(ctx), prefix, clientv3.WithPrefix(), clientv3.WithRev(from), clientv3.WithCreatedNotify())
		for ctx.Err() == nil {
			select {
			case response, ok := <-events:
				if !ok {
					return
				}
				responses <- reflector.WatchResponse{Events: response.Events, Err: response.Err()}
			case <-ctx.Done():
			}
		}
	}()
	return responses
}
