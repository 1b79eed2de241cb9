package page

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// process is a running program.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	line string // the first one that it wrote
	once sync.Once
}

// start returns when the program has written a line. It is killed when the test ends.
func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.CommandContext(context.Background(), program, args...)}
	var stderr bytes.Buffer
	p.cmd.Stderr = &stderr
	p.cmd.Env = append(os.Environ(), "ETCD_USERNAME=", "MICRO_REGISTRY_ADDRESS=")
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { p.end(syscall.SIGKILL) })
	lines := bufio.NewReader(out)
	p.line, err = lines.ReadString('\n')
	require.NoError(t, err, "%s %v wrote: %s", program, args, &stderr)
	go func() { _, _ = lines.WriteTo(&bytes.Buffer{}) }()
	return p
}

// end sends the signal and waits.
func (p *process) end(signal os.Signal) {
	p.once.Do(func() {
		_ = p.cmd.Process.Signal(signal) // fails if it has ended by itself
		_ = p.cmd.Wait()                 // a killed process reports that
	})
}

// ui is a running page.
type ui struct {
	*process
	url string
}

func startUI(t *testing.T, endpoints, listen string) ui {
	t.Helper()
	p := start(t, uiBinary, "ui", "--registry_address", endpoints, "--listen", listen)
	return ui{process: p, url: strings.TrimSpace(p.line)}
}

// address is where it listens.
func (u ui) address() string {
	parsed, err := url.Parse(u.url)
	require.NoError(u.t, err)
	return parsed.Host
}

// world is an etcd and its page.
type world struct {
	etcd   *etcdtest.Server
	client *clientv3.Client
	ui     ui
}

func newWorld(t *testing.T) world {
	t.Helper()
	srv := etcdtest.Start(t)
	return world{etcd: srv, client: srv.Client(t), ui: startUI(t, srv.Endpoint(), "127.0.0.1:0")}
}

// greeter starts a real service, whose record outlives it by two seconds at least.
func (w world) greeter(t *testing.T) *process {
	t.Helper()
	return start(
		t, greeterBinary, "--registry_address", w.etcd.Endpoint(), "--register_ttl", "2", "--register_interval", "1",
	)
}

// put stores a record as a service would, without a lease.
func (w world) put(t *testing.T, s *registry.Service, opts ...clientv3.OpOption) {
	t.Helper()
	value, err := json.Marshal(s)
	require.NoError(t, err)
	w.putRaw(t, strings.ReplaceAll(s.Name, "/", "-")+"/"+s.Nodes[0].Id, string(value), opts...)
}

func (w world) putRaw(t *testing.T, key, value string, opts ...clientv3.OpOption) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := w.client.Put(ctx, etcd.DefaultPrefix+key, value, opts...)
	require.NoError(t, err)
}

// lease is one for the length of the test.
func (w world) lease(t *testing.T, ttl time.Duration) clientv3.OpOption {
	t.Helper()
	lease, err := w.client.Grant(t.Context(), int64(ttl/time.Second))
	require.NoError(t, err)
	return clientv3.WithLease(lease.ID)
}

func service(name, version, id string, metadata map[string]string) *registry.Service {
	return &registry.Service{Name: name, Version: version, Nodes: []*registry.Node{
		{Id: id, Address: net.JoinHostPort("10.0.0.1", "80"), Metadata: metadata},
	}}
}
