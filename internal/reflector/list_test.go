package reflector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/micro-etcd/micro-etcd/internal/etcderr"
)

const prefix = "/p/"

// script is an Etcd whose reads are a function and whose watches are given by a test.
type script struct {
	kvs     []*mvccpb.KeyValue
	header  pb.ResponseHeader
	mu      sync.Mutex
	fails   func(limit int64) error
	pages   []int // bytes of each
	watches chan *watch
}

// watch is a Watch that a test sends events to, or an error.
type watch struct {
	from   int64
	ready  chan struct{}
	mu     sync.Mutex
	events []*clientv3.Event
	err    error
	closed bool
}

func (w *watch) Ready() <-chan struct{} { return w.ready }

func (w *watch) Take() ([]*clientv3.Event, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	w.events = nil
	return events, true, w.err
}

func (w *watch) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}

func (w *watch) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

func (w *watch) send(events []*clientv3.Event, err error) {
	w.mu.Lock()
	w.events, w.err = append(w.events, events...), err
	w.mu.Unlock()
	w.ready <- struct{}{}
}

func newScript(values ...int) *script {
	s := &script{header: pb.ResponseHeader{ClusterId: 1, Revision: 7}, watches: make(chan *watch, 100)}
	for i, size := range values {
		s.kvs = append(s.kvs, &mvccpb.KeyValue{Key: fmt.Appendf(nil, "%s%05d", prefix, i), Value: make([]byte, size)})
	}
	return s
}

func values(n, size int) []int {
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}

func (s *script) Get(_ context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	op := clientv3.OpGet(key, opts...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		if err := s.fails(op.Limit()); err != nil {
			return nil, err
		}
	}
	page := &clientv3.GetResponse{Header: &pb.ResponseHeader{ClusterId: s.header.ClusterId, Revision: s.header.Revision}}
	for _, kv := range s.kvs {
		if strings.Compare(string(kv.Key), key) < 0 {
			continue
		}
		page.Count++
		if int64(len(page.Kvs)) < op.Limit() {
			page.Kvs = append(page.Kvs, kv)
		}
	}
	page.More = page.Count > int64(len(page.Kvs))
	s.pages = append(s.pages, sizeOf(page))
	return page, nil
}

func (s *script) fail(with func(limit int64) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = with
}

func (s *script) Watch(_ string, from int64) (Watch, error) {
	w := &watch{from: from, ready: make(chan struct{}, 1)}
	w.ready <- struct{}{} // it is open
	s.watches <- w
	return w, nil
}

func (s *script) lister() Lister {
	return Lister{Etcd: s, Prefix: prefix, Timeout: func() time.Duration { return 5 * time.Second }}
}

func TestTheUsualServiceIsOnePageAndABigOneTwo(t *testing.T) {
	for nodes, pages := range map[int]int{0: 1, 1: 1, firstPage: 1, firstPage + 1: 2, 1000: 2, 10_000: 7} {
		s := newScript(values(nodes, 300)...)
		l := s.lister()
		all, err := l.List(t.Context())
		require.NoError(t, err)
		require.Len(t, all.Kvs, nodes)
		require.Len(t, s.pages, pages, "%d nodes", nodes)
	}
}

func TestAListThatIsKnownToBeBigIsOnePage(t *testing.T) {
	s := newScript(values(1000, 300)...)
	l := s.lister()
	for range 3 {
		_, err := l.List(t.Context())
		require.NoError(t, err)
	}
	require.Len(t, s.pages, 2+1+1)
}

// Before, the first page had up to 2,000 keys, whatever their size.
func TestNoPageIsMuchBiggerThanItShouldBe(t *testing.T) {
	for name, sizes := range map[string][]int{
		"300 of 100 KB":             values(300, 100_000),
		"few small, then many huge": append(values(10, 10), values(100, 100_000)...),
		"medium":                    values(5000, 10_000),
	} {
		s := newScript(sizes...)
		l := s.lister()
		all, err := l.List(t.Context())
		require.NoError(t, err)
		require.Len(t, all.Kvs, len(sizes))
		for i, size := range s.pages {
			require.LessOrEqual(t, size, maxPageSize+maxPageSize/8, "%s: page %d", name, i)
		}
	}
	s := newScript(values(500, 1_500_000)...)
	l := s.lister()
	_, err := l.List(t.Context())
	require.NoError(t, err)
	require.LessOrEqual(t, s.pages[0], firstPage*1_500_100)
	for _, size := range s.pages[1:] {
		require.LessOrEqual(t, size, maxPageSize)
	}
}

func TestAPageThatIsTooBigIsReadInSmallerOnes(t *testing.T) {
	for name, tooBig := range map[string]error{
		"too big for gRPC": status.Error(codes.ResourceExhausted, "trying to send message larger than max"),
		"too slow":         context.DeadlineExceeded,
	} {
		s := newScript(values(100, 10)...)
		s.fails = func(limit int64) error {
			if limit > 7 {
				return tooBig
			}
			return nil
		}
		l := s.lister()
		all, err := l.List(t.Context())
		require.NoError(t, err, name)
		require.Equal(t, s.kvs, all.Kvs, name)
	}
}

func TestWhatASmallerPageDoesNotMendIsAnError(t *testing.T) {
	asked := 0
	for _, c := range []struct {
		err       error
		connected bool
		asks      int
	}{
		{rpctypes.ErrPermissionDenied, true, 1},
		{context.DeadlineExceeded, true, 3},
		{context.DeadlineExceeded, false, 1},
		{rpctypes.ErrCompacted, true, maxLists},
	} {
		asked = 0
		s := newScript()
		s.fails = func(int64) error { asked++; return c.err }
		l := s.lister()
		l.Connected = func() bool { return c.connected }
		_, err := l.List(t.Context())
		require.ErrorIs(t, err, c.err)
		require.Equal(t, c.asks, asked, "%v", c.err)
	}
}

func TestAListOfTwoClustersIsBegunAnew(t *testing.T) {
	s := newScript(values(2*firstPage, 10)...)
	asked := 0
	s.fails = func(int64) error {
		asked++
		s.header.ClusterId = uint64(min(asked, 2)) //nolint:gosec // small
		return nil
	}
	l := s.lister()
	all, err := l.List(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, all.Header.ClusterId)
	require.Equal(t, s.kvs, all.Kvs)
}

func TestAddressesOfTwoClustersAreAnErrorThatNamesThem(t *testing.T) {
	s := newScript(values(maxPage+1, 0)...)
	s.fails = func(int64) error {
		s.header.ClusterId ^= 0xa ^ 0xb
		return nil
	}
	s.header.ClusterId = 0xa
	l := s.lister()
	_, err := l.List(t.Context())
	require.ErrorIs(t, err, etcderr.ErrMixedClusters)
	require.ErrorContains(t, err, "b and a")
}

func TestProgressIsToldOfEachPage(t *testing.T) {
	var told [][2]int
	s := newScript(values(3*firstPage, 10)...)
	l := s.lister()
	l.Progress = func(read, all int) { told = append(told, [2]int{read, all}) }
	_, err := l.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, [][2]int{{firstPage, 3 * firstPage}, {3 * firstPage, 3 * firstPage}}, told)
}

func TestPagesFollowFromWhatTheyTurnOutToBe(t *testing.T) {
	for name, c := range map[string]struct {
		before, keys, size int
		took               time.Duration
		after              int
	}{
		"usual":               {maxPage, 2000, 2000 * 1000, time.Millisecond, 2000},
		"big":                 {maxPage, 2000, 2000 << 20, time.Second, 8},
		"a few big ones":      {maxPage, 2000, 16 << 20, time.Second, 1000},
		"big and few":         {maxPage, 10, 16 << 20, time.Second, 5},
		"one that is too big": {maxPage, 1, 16 << 20, time.Second, 1},
		"small after big":     {8, 8, 8000, time.Millisecond, 128},
		"small but slow":      {8, 8, 8000, 2 * time.Second, 8},
		"small, half as slow": {8, 8, 8000, 625 * time.Millisecond, 16},
		"just right":          {8, 8, 8 << 20, time.Millisecond, 8},
		"not full":            {64, 10, 1000, time.Millisecond, 64},
		"empty":               {64, 0, 0, time.Millisecond, 64},
	} {
		l := Lister{limit: c.before, Timeout: func() time.Duration { return 5 * time.Second }}
		l.learn(c.keys, c.size, c.took)
		require.Equal(t, c.after, l.limit, name)
	}
	require.Equal(t, 3, sizeOf(&clientv3.GetResponse{Kvs: []*mvccpb.KeyValue{{Key: []byte("k"), Value: []byte("vv")}}}))
}

var errAny = errors.New("whatever")
