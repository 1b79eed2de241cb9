package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// reasons find out why a client gets no answer, once for all that ask at one time.
type reasons struct {
	mu    sync.Mutex
	last  *reason
	found string // the last one that was found out
}

type reason struct {
	asked time.Time
	done  chan struct{}
	text  string // "" if there is a connection; known once done is closed
}

const (
	// explainTime is how long it may take to find out: a handshake, and some more on a busy machine.
	explainTime = 250 * time.Millisecond
	// reasonTime is how long a reason holds good.
	reasonTime = time.Second
)

// explain adds to a missed deadline what is wrong with the connection. It takes no longer than
// the call that ctx belongs to has left.
func (c *connector) explain(ctx context.Context, l *link, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if l == nil {
		if l = c.lookout(); l == nil {
			return err
		}
	}
	r := l.reason(c.group)
	timer := time.NewTimer(reserveOf(ctx))
	defer timer.Stop()
	select {
	case <-r.done:
		if r.text != "" {
			return fmt.Errorf("%w: %s", err, r.text)
		}
	case <-timer.C:
		if text := l.reasons.lately(); text != "" && l.down.Load() != 0 {
			return fmt.Errorf("%w: %s", err, text)
		}
	}
	return err
}

// lately returns what was found out before: a handshake may take longer than a call has left.
func (r *reasons) lately() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.found
}

// reason begins to find out, unless that was done a moment ago.
func (l *link) reason(g *group) *reason {
	r := &l.reasons
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil || time.Since(r.last.asked) > reasonTime {
		last := &reason{asked: time.Now(), done: make(chan struct{})}
		if !g.run(func() { r.find(last, l.complaint()) }) {
			close(last.done)
		}
		r.last = last
	}
	return r.last
}

func (r *reasons) find(one *reason, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one.text, r.found = text, text
	close(one.done)
}

type deadlineKey struct{}

// withReserve returns a context that ends a moment before the call must return, which is left to
// find out why there was no answer.
func withReserve(ctx context.Context, left time.Duration) (context.Context, context.CancelFunc) {
	ctx = context.WithValue(ctx, deadlineKey{}, time.Now().Add(left))
	return context.WithTimeout(ctx, left-min(explainTime, left/10))
}

// reserveOf returns what is left of a call's time; our own loops have all of explainTime.
func reserveOf(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Value(deadlineKey{}).(time.Time); ok {
		return time.Until(deadline)
	}
	return explainTime
}

// complaint returns what a request says that doesn't wait for a connection: the etcd client's do,
// and hide what is wrong with it. It is repeated, because what a server says as it hangs up
// may come before the reason.
func (l *link) complaint() string {
	ctx, cancel := context.WithTimeout(l.ctx, explainTime)
	defer cancel()
	text := ""
	for ctx.Err() == nil && !strings.Contains(text, "connection error") {
		conn := l.ActiveConnection()
		conn.ResetConnectBackoff()
		_, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte{0}}, grpc.WaitForReady(false))
		if status.Code(err) == codes.Unavailable {
			text = status.Convert(err).Message()
		} else if ctx.Err() == nil {
			return "" // there is a connection
		}
		pause(ctx, explainTime/10, nil)
	}
	return text
}
