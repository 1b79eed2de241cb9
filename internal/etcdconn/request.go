package etcdconn

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"

	"github.com/micro-etcd/micro-etcd/internal/etcderr"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

const (
	// tryTime is how long a request may go unanswered until it is sent once more, to another member: two requests one
	// after the other, as a Deregister needs, should be through within 2 s, although both may meet a silent one.
	tryTime = 600 * time.Millisecond
	// maxTries bounds those that are under way for one request. The first one goes on, in case that etcd is just slow;
	// of the others the oldest gives way.
	maxTries = 4
)

// maxRefusals is how often a request is sent again that one member has refused, where another one may not.
const maxRefusals = 5

// try is one of several requests for the same.
type try[T answer] struct {
	cancel  context.CancelFunc
	sent    time.Time
	repeats bool // another one that is under way, and counts among the repetitions
	gaveWay bool // to a newer one
	client  *Client
	pick    Pick // of the member that it is sent to
	answer  T
	err     error
}

// tries are the requests for the same that are under way, the oldest first.
type tries[T answer] struct {
	connector *Connector
	request   func(context.Context, *Client) (T, error)
	running   []*try[T]
	ended     chan *try[T]
	picks     []*Pick // of the last tries, the oldest first, also of those that have ended
}

// answer is what etcd gives to a request. Its type says which one that was.
type answer interface {
	*clientv3.GetResponse | *clientv3.TxnResponse | *pb.LeaseGrantResponse |
		*clientv3.LeaseRevokeResponse | *pb.LeaseKeepAliveResponse
}

// methodOf returns the method that gives such an answer, and its header, if there is an answer.
func methodOf[T answer](a T) (metrics.Method, *pb.ResponseHeader) {
	switch a := any(a).(type) {
	case *clientv3.GetResponse:
		return metrics.MethodRange, (*pb.RangeResponse)(a).GetHeader()
	case *clientv3.TxnResponse:
		return metrics.MethodTxn, (*pb.TxnResponse)(a).GetHeader()
	case *clientv3.LeaseRevokeResponse:
		return metrics.MethodLeaseRevoke, (*pb.LeaseRevokeResponse)(a).GetHeader()
	case *pb.LeaseGrantResponse:
		return metrics.MethodLeaseGrant, a.GetHeader()
	case *pb.LeaseKeepAliveResponse:
		return metrics.MethodKeepAlive, a.GetHeader()
	}
	panic("not an answer")
}

// Do does a request on the current client. As long as etcd doesn't answer, it is sent again and again; the tries before
// go on, because a slow network isn't a dead one, and the first answer counts. A member that was asked before another
// one and hasn't answered is silent: its connection is closed, so that streams leave it as well. ctx must have a
// deadline.
func Do[T answer](ctx context.Context, c *Connector, request func(context.Context, *Client) (T, error)) (T, error) {
	ts := &tries[T]{connector: c, request: request, ended: make(chan *try[T])}
	var none T
	ts.again(ctx)
	next := time.NewTimer(tryTime)
	defer next.Stop()
	for failures, refusals := 0, 0; ; {
		select {
		case <-next.C:
			ts.again(ctx)
			next.Reset(tryTime)
		case t := <-ts.ended:
			ts.remove(t)
			switch {
			case t.err == nil:
				ts.closeOvertaken(t, ts.stop())
				return t.answer, nil
			case errors.Is(t.err, ErrReplaced):
				ts.again(ctx)
				next.Reset(tryTime)
			case t.gaveWay:
			case ctx.Err() != nil, !etcderr.IsUnanswered(t.err) && (refusals == maxRefusals || !etcderr.MayDiffer(t.err)):
				ts.stop()
				return none, c.Failure(ctx, t.err)
			default:
				if failures++; !etcderr.IsUnanswered(t.err) {
					refusals++
				}
				next.Reset(retry.Backoff(failures, t.err))
			}
		case <-ctx.Done():
			ts.stop()
			return none, c.Failure(ctx, context.Cause(ctx))
		}
	}
}

// again sends the request if it isn't under way, or once more if there is a connection: else those that are waiting for
// one would be sent all at once.
func (ts *tries[T]) again(ctx context.Context) {
	switch {
	case len(ts.running) == 0:
		ts.send(ctx, false)
	case ts.connector.IsConnected():
		ts.repeat(ctx)
	}
}

// repeat sends the request once more: in place of another repetition if there are too many, so that it doesn't wait for
// ever where all of them are lost.
func (ts *tries[T]) repeat(ctx context.Context) {
	if len(ts.running) < maxTries && ts.connector.repeats.TryAcquire(1) {
		ts.send(ctx, true)
		return
	}
	if t := ts.repetition(); t != nil {
		t.gaveWay, t.repeats = true, false
		t.cancel()
		ts.send(ctx, true)
	}
}

// repetition returns the oldest one, or nil.
func (ts *tries[T]) repetition() *try[T] {
	if i := slices.IndexFunc(ts.running, func(t *try[T]) bool { return t.repeats }); i >= 0 {
		return ts.running[i]
	}
	return nil
}

func (ts *tries[T]) send(ctx context.Context, repeats bool) {
	t := &try[T]{sent: time.Now(), repeats: repeats}
	for _, p := range ts.picks {
		t.pick.Avoid = append(t.pick.Avoid, p.Member())
	}
	ts.picks = append(ts.picks, &t.pick)
	ts.picks = ts.picks[max(0, len(ts.picks)-maxPicks):]
	ctx, t.cancel = context.WithCancel(ctx)
	ts.running = append(ts.running, t)
	go func() {
		defer t.cancel()
		t.do(ctx, ts.connector, ts.request)
		ts.ended <- t
	}()
}

// remove forgets a try that has ended. If it was the first one, the oldest repetition is that from now on, and goes on.
func (ts *tries[T]) remove(t *try[T]) {
	ts.running = slices.DeleteFunc(ts.running, func(o *try[T]) bool { return o == t })
	if !t.repeats && !t.gaveWay {
		t = ts.repetition()
	}
	if t != nil && t.repeats {
		t.repeats = false
		ts.connector.repeats.Release(1)
	}
}

// stop ends the tries that are under way, and returns them.
func (ts *tries[T]) stop() (stopped []*try[T]) {
	stopped = slices.Clone(ts.running)
	for _, t := range stopped {
		t.cancel()
	}
	for len(ts.running) > 0 {
		ts.remove(<-ts.ended)
	}
	return stopped
}

// closeOvertaken closes the connections on which tries went unanswered longer than the one that etcd has answered.
func (ts *tries[T]) closeOvertaken(answered *try[T], others []*try[T]) {
	for _, t := range others {
		member, asked := t.pick.Last()
		if t.client == answered.client && member != answered.pick.Member() && answered.sent.Sub(asked) > tryTime/2 {
			t.client.dialer.Close(member, asked)
		}
	}
}

func (t *try[T]) do(ctx context.Context, c *Connector, request func(context.Context, *Client) (T, error)) {
	if t.client, t.err = c.allowed(ctx); t.err != nil {
		return
	}
	stop := context.AfterFunc(t.client.life, t.cancel)
	defer stop()
	// A member without a leader would keep the request until its deadline.
	ctx = clientv3.WithRequireLeader(WithPick(ctx, &t.pick))
	began := time.Now()
	t.answer, t.err = request(ctx, t.client)
	method, header := methodOf(t.answer)
	c.Metrics.Requested(ctx, method, time.Since(began), etcderr.Code(t.err))
	if err := t.client.clusters.observe(header, t.pick.Member()); err != nil {
		t.err = err
	} else {
		t.client.HighWater.observe(header)
	}
	t.client.breaker.report(t.err)
	if t.err != nil && t.client.life.Err() != nil && c.Context.Err() == nil {
		t.err = ErrReplaced
	}
}

// Failure is the error of a call that ends with err.
func (c *Connector) Failure(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, ErrClosed) {
		return cause
	}
	return c.explain(err)
}

// Await returns the current client once it has a connection.
func (c *Connector) Await(ctx context.Context) (*Client, error) {
	for {
		cl, err := c.Connect(ctx)
		if err == nil {
			err = cl.breaker.open()
		}
		if err == nil {
			waitCtx, cancel := cl.whileCurrent(ctx)
			err = cl.await(waitCtx, connectivity.Ready)
			cancel()
		}
		if err == nil {
			return cl, nil
		}
		replaced := errors.Is(err, ErrReplaced) || cl != nil && cl.life.Err() != nil && c.Context.Err() == nil
		if !replaced || ctx.Err() != nil {
			return nil, c.Failure(ctx, err)
		}
	}
}

// Get reads a key, or several, within ctx.
func Get(ctx context.Context, c *Connector, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return Do(ctx, c, func(ctx context.Context, cl *Client) (*clientv3.GetResponse, error) {
		return cl.Get(ctx, key, opts...)
	})
}

// Txn does a transaction within ctx.
func Txn(ctx context.Context, c *Connector, build func(clientv3.Txn) clientv3.Txn) (*clientv3.TxnResponse, error) {
	return Do(ctx, c, func(ctx context.Context, cl *Client) (*clientv3.TxnResponse, error) {
		return build(cl.Txn(ctx)).Commit()
	})
}

// Renew renews a lease within ctx. A repeat goes to another member, on a stream of its own.
func (c *Connector) Renew(ctx context.Context, id int64) (*pb.LeaseKeepAliveResponse, error) {
	var repeated atomic.Bool
	return Do(ctx, c, func(ctx context.Context, cl *Client) (*pb.LeaseKeepAliveResponse, error) {
		answer, err := cl.renewals.Renew(ctx, id, repeated.Swap(true))
		if err != nil {
			err = rpctypes.Error(err)
			c.streamEnded(cl, err)
		}
		return answer, err
	})
}
