package etcdconn

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
)

// script opens streams that take everything and answer nothing, unless a test answers for them.
type script struct {
	opens atomic.Int64
	hang  atomic.Bool // no stream is opened

	mu    sync.Mutex
	asked []int64
}

// silentStream ends with its context.
type silentStream struct {
	grpc.ClientStream
	script *script
	ctx    context.Context
}

func (s silentStream) Send(r *pb.LeaseKeepAliveRequest) error {
	s.script.mu.Lock()
	defer s.script.mu.Unlock()
	s.script.asked = append(s.script.asked, r.ID)
	return nil
}

func (s silentStream) Recv() (*pb.LeaseKeepAliveResponse, error) {
	<-s.ctx.Done()
	return nil, io.EOF
}

func (s *script) open(ctx context.Context, _ []*peer.Peer) (*Stream, error) {
	s.opens.Add(1)
	if s.hang.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithCancel(ctx)
	return &Stream{
		Lease_LeaseKeepAliveClient: silentStream{script: s, ctx: ctx},
		Answered:                   func(*pb.ResponseHeader) {}, Failed: func(error) {}, Silent: func() {}, Close: cancel,
	}, nil
}

func (s *script) times(id int64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, asked := range s.asked {
		if asked == id {
			n++
		}
	}
	return n
}

// keepingAlive runs a test in virtual time beside a KeepAlive.
func keepingAlive(t *testing.T, test func(*KeepAlive, *script)) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		var running sync.WaitGroup
		k := &KeepAlive{
			Open: s.open, Go: func(f func()) bool { running.Go(f); return true },
			Backoff: func(int, error) time.Duration { return time.Second },
			Resumed: func(time.Duration) {}, Changed: func(LeaseChange) {},
		}
		ctx, cancel := context.WithCancel(t.Context())
		running.Go(func() { k.Run(ctx) })
		test(k, s)
		cancel()
		running.Wait()
	})
}

func TestAStoppedLeaseIsNotAskedForAgain(t *testing.T) {
	keepingAlive(t, func(k *KeepAlive, s *script) {
		const ttl = 6 * time.Second
		stopped := k.Add(1, ttl, time.Now())
		k.Add(2, ttl, time.Now())
		time.Sleep(ttl/3 + time.Millisecond) // both are asked for, and never answered
		require.Equal(t, 1, s.times(1))
		stopped.Stop()
		time.Sleep(time.Minute)
		require.Equal(t, 1, s.times(1))
		require.Greater(t, s.times(2), 1)
	})
}

// A stream that waits for a connection wakes the loop when it has one. Until then there is nothing to do.
func TestNothingSpinsWhileNoStreamCanBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &KeepAlive{Go: func(func()) bool { return true }, Changed: func(LeaseChange) {}}
		began := time.Now()
		l := k.Add(1, 6*time.Second, began)
		time.Sleep(2 * time.Second)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.renewLocked(t.Context(), time.Now()) // a stream begins to be opened, and the renewal waits there
		require.Len(t, k.streams, 1)
		time.Sleep(l.TTL / 6)
		next := k.renewLocked(t.Context(), time.Now())
		require.GreaterOrEqual(t, time.Until(next), time.Second)
		for _, s := range k.streams {
			s.end()
		}
	})
}

func TestAMemberIsLeftAloneHoweverOftenItIsReported(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, silent.Close()) }()
	d := &Dialer{}
	conn, err := d.dial(t.Context(), silent.Addr().String())
	require.NoError(t, err)
	p := &peer.Peer{Addr: conn.RemoteAddr(), LocalAddr: conn.LocalAddr()}
	d.Close(p)
	waits, cancel := context.WithCancel(t.Context())
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		d.awaitReadmission(waits, silent.Addr().String())
	}()
	d.Close(p)
	d.mu.Lock()
	d.ejectLocked(silent.Addr().String()) // as by one that has met it again
	d.mu.Unlock()
	select {
	case <-d.readmit:
		t.Fatal("it is readmitted")
	case <-waiting:
		t.Fatal("it is connected to")
	default:
	}
	cancel()
	<-waiting
}
