package selector

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

const (
	workers = 8
	pause   = 40 * time.Millisecond // between the calls of a worker

	// hung is how long a call must have waited to be go-micro's loss, not a restart's: v4.11.0 loses one answer in
	// about 1,000 to 30,000, depending on load, on connections that are reused, also without any selector
	// (client.WithAddress: 3 of 77,982 calls) and when nobody is restarted. The call then waits for its timeout of five
	// seconds, or for the end of the node. client.PoolTTL(time.Nanosecond) avoids it and costs a dial per call.
	hung = time.Second
)

// load calls greeters for as long as a test wants, as a client process of its own would.
type load struct {
	name     string
	selector selector.Selector
	client   client.Client
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu       sync.Mutex
	took     []time.Duration
	failed   []error
	hung     int
	attempts map[string]int // that failed, by node id
}

// startLoad begins to call. Without a retry function the client has go-micro's.
func startLoad(
	t *testing.T, name, endpoint string, newSelector func(...selector.Option) selector.Selector, retry client.RetryFunc,
) *load {
	t.Helper()
	r, err := etcd.New(registry.Addrs(endpoint))
	require.NoError(t, err)
	l := &load{name: name, selector: newSelector(selector.Registry(r)), attempts: make(map[string]int)}
	opts := []client.Option{client.Selector(l.selector), client.Registry(r), client.WrapCall(l.watch)}
	if retry != nil {
		opts = append(opts, client.Retry(retry))
	}
	l.client = client.NewClient(opts...)
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	for range workers {
		l.wg.Go(func() { l.work(ctx) })
	}
	t.Cleanup(func() {
		l.stop()
		require.NoError(t, l.selector.Close())
		require.NoError(t, r.Close())
	})
	return l
}

func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}

func (l *load) work(ctx context.Context) {
	ticks := time.NewTicker(pause)
	defer ticks.Stop()
	for {
		began := time.Now()
		err := l.client.Call(
			context.Background(), l.client.NewRequest("greeter", "Greeter.Hello", &Request{Name: "Ann"}), &Response{},
		)
		l.note(time.Since(began), err)
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// watch is a call wrapper that sees every attempt of a call.
func (l *load) watch(call client.CallFunc) client.CallFunc {
	return func(
		ctx context.Context, node *registry.Node, req client.Request, rsp interface{}, opts client.CallOptions,
	) error {
		err := call(ctx, node, req, rsp, opts)
		if err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.attempts[node.Id]++
		}
		return err
	}
}

func (l *load) note(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if took > hung {
		l.hung++
		return
	}
	l.took = append(l.took, took)
	if err != nil {
		l.failed = append(l.failed, err)
	}
}

// calls returns the number of calls so far.
func (l *load) calls() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.took)
}

// await returns when there were so many more calls.
func (l *load) await(t *testing.T, calls int) {
	t.Helper()
	until := l.calls() + calls
	require.Eventually(t, func() bool { return l.calls() >= until }, time.Minute, pause)
}

// String is a row of a table. It is for a load that was stopped.
func (l *load) String() string {
	slices.Sort(l.took)
	at := func(share float64) time.Duration {
		return l.took[int(share*float64(len(l.took)-1))].Round(100 * time.Microsecond)
	}
	attempts := 0
	for _, n := range l.attempts {
		attempts += n
	}
	return fmt.Sprintf("| %-38s | %6d | %6d | %8d | %4d | %8v | %8v | %8v |", l.name, len(
		l.took,
	), len(l.failed), attempts, l.hung, at(.5), at(.99), at(1))
}
