package etcdconn

import (
	"context"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// authenticateTime bounds an authentication at the first member, where there is another one to ask. It doubles from
// member to member.
const authenticateTime = time.Second

// authenticator has one client's tokens asked for: one at a time, and at one member after the other, each for longer
// than the one before. It costs etcd a bcrypt and a raft proposal, and members that are slow because they are busy
// mustn't get many of them. When etcd has forgotten a token, every request under way finds out at the same moment, and
// the etcd client would have a token asked for by each.
type authenticator struct {
	members int

	mu  sync.Mutex
	now *authentication // under way, or nil
}

// authentication is one that several requests may wait for.
type authentication struct {
	done  chan struct{}
	reply *pb.AuthenticateResponse
	err   error
}

// intercept is a grpc.UnaryClientInterceptor.
func (a *authenticator) intercept(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker,
	opts ...grpc.CallOption,
) error {
	answer, ok := reply.(*pb.AuthenticateResponse)
	if !ok {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	for {
		one, begins := a.join(answer)
		if begins {
			one.err = a.ask(ctx, func(ctx context.Context) error { return invoke(ctx, method, req, reply, cc, opts...) })
			a.end(one)
			return one.err
		}
		select {
		case <-one.done:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
		switch status.Code(one.err) {
		case codes.OK:
			answer.Header, answer.Token = one.reply.Header, one.reply.Token
			return nil
		case codes.Canceled, codes.DeadlineExceeded: // of the request that began it
		default:
			return one.err
		}
	}
}

// join returns the authentication under way, or begins one.
func (a *authenticator) join(reply *pb.AuthenticateResponse) (one *authentication, begins bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now != nil {
		return a.now, false
	}
	a.now = &authentication{done: make(chan struct{}), reply: reply}
	return a.now, true
}

func (a *authenticator) end(one *authentication) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now = nil
	close(one.done)
}

func (a *authenticator) ask(ctx context.Context, request func(context.Context) error) error {
	var asked []string
	for limit := authenticateTime; a.members > 1; limit *= 2 {
		pick := &Pick{Avoid: asked}
		try, cancel := context.WithTimeout(WithPick(ctx, pick), limit)
		err := request(try)
		silent := try.Err() != nil || status.Code(err) == codes.DeadlineExceeded // the member's clock may be first
		cancel()
		if !silent || ctx.Err() != nil {
			return err
		}
		if member := pick.Member(); member != "" { // else there was no connection yet
			asked = append(slices.DeleteFunc(asked, func(m string) bool { return m == member }), member)
		}
	}
	return request(ctx)
}
