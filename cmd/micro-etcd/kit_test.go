package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/iostreams"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/leak"
)

// patience is how long a test waits for what must happen soon.
const patience = 30 * time.Second

func TestMain(m *testing.M) { leak.Verify(m) }

// buffer is what a command writes to while a test reads it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// running is a command under way.
type running struct {
	t        testing.TB
	out, err buffer
	cancel   context.CancelFunc
	done     chan int
}

// start runs a command line. With an input it is at a terminal.
func start(tb testing.TB, srv *etcdtest.Server, input io.Reader, args ...string) *running {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	r := &running{t: tb, cancel: cancel, done: make(chan int, 1)}
	s := iostreams.Streams{
		In: input, Out: &r.out, Err: &r.err, CanPrompt: input != nil,
		ReadPassword: func(context.Context) ([]byte, error) { return io.ReadAll(input) },
	}
	if srv != nil {
		args = append([]string{"-a", srv.Endpoint()}, args...)
	}
	go func() { r.done <- run(ctx, args, s) }()
	tb.Cleanup(cancel)
	return r
}

func (r *running) wait() int {
	r.t.Helper()
	select {
	case code := <-r.done:
		return code
	case <-time.After(patience):
		require.FailNow(r.t, "the command doesn't end", "%s\n%s", r.out.String(), r.err.String())
		return 0
	}
}

// stop is Ctrl-C.
func (r *running) stop() int {
	r.t.Helper()
	r.cancel()
	return r.wait()
}

// says waits until the command has written something.
func (r *running) says(text string) {
	r.t.Helper()
	require.Eventually(
		r.t, func() bool { return strings.Contains(r.out.String()+r.err.String(), text) }, patience, 5*time.Millisecond, text,
	)
}

// must runs a command that ends with a code, and returns its output and what it said beside.
func must(tb testing.TB, code int, srv *etcdtest.Server, args ...string) (out, err string) {
	tb.Helper()
	r := start(tb, srv, nil, args...)
	require.Equal(tb, code, r.wait(), "%v\n%s\n%s", args, r.out.String(), r.err.String())
	return r.out.String(), r.err.String()
}

// as decodes the JSON that a command writes.
func as[T any](tb testing.TB, srv *etcdtest.Server, args ...string) T {
	tb.Helper()
	out, _ := must(tb, app.ExitOK, srv, append(args, "-o", "json")...)
	var v T
	require.NoError(tb, json.Unmarshal([]byte(out), &v), out)
	return v
}

func open(tb testing.TB, srv *etcdtest.Server, opts ...registry.Option) *etcd.Registry {
	tb.Helper()
	r, err := etcd.New(append([]registry.Option{registry.Addrs(srv.Endpoint())}, opts...)...)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = r.Close() })
	return r
}

func register(tb testing.TB, r *etcd.Registry, s *registry.Service) {
	tb.Helper()
	require.NoError(tb, r.Register(s, registry.RegisterTTL(time.Minute)))
}
