package promises

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// swallow makes an address that SYNs vanish at: a listener whose backlog is full.
func swallow(tb testing.TB, address netip.AddrPort) {
	tb.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = syscall.Close(socket) })
	require.NoError(tb, syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	to := &syscall.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()}
	require.NoError(tb, syscall.Bind(socket, to))
	require.NoError(tb, syscall.Listen(socket, 0))
	for range 10 {
		c, err := net.DialTimeout("tcp", address.String(), 200*time.Millisecond)
		if err != nil {
			return
		}
		tb.Cleanup(func() { _ = c.Close() })
	}
	require.FailNow(tb, "the listener accepts without end", address)
}

func TestP2OneNameWithTwoDeadAddressesOfThreeConnects(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	port := netip.MustParseAddrPort(srv.Endpoint()).Port()
	for _, dead := range []string{"127.0.0.2", "127.0.0.3"} {
		swallow(t, netip.AddrPortFrom(netip.MustParseAddr(dead), port))
	}
	r := open(t, []string{fmt.Sprint("three.etcd.example:", port)}, registry.Timeout(30*time.Second))
	soon(t, 10*time.Second, "Register", func() error {
		return r.Register(service("greeter", "1", "a"), registry.RegisterTTL(time.Minute))
	})
}

var (
	tlsMeant     = regexp.MustCompile(`TLS`)
	nobodyBehind = regexp.MustCompile(`(?i)nothing|no server|not etcd|isn't etcd|no etcd|something else|another program`)
)

func TestP7APortThatHangsUpIsExplainedByBothOfItsCauses(t *testing.T) {
	t.Parallel()
	for how, serve := range map[string]func(net.Conn){
		"at once":               func(net.Conn) {},
		"after the first bytes": func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<10)) },
	} {
		r := open(t, []string{hearer(t, serve)}, registry.Timeout(1500*time.Millisecond))
		for what, call := range map[string]func() error{
			"GetService": func() error { _, err := r.GetService("greeter"); return err },
			"Register":   func() error { return r.Register(service("greeter", "1", "a")) },
		} {
			text := fmt.Sprint(call())
			assert.Regexp(t, tlsMeant, text, "%s, hung up %s", what, how)
			assert.Regexp(t, nobodyBehind, text, "%s, hung up %s", what, how)
		}
	}
}

// hearer accepts connections, and hangs up when they have been served. It returns its address.
func hearer(tb testing.TB, serve func(net.Conn)) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			_ = c.Close()
		}
	})
	tb.Cleanup(accepting.Wait)
	tb.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// throughProxy says where etcd is, in the process that has a proxy in its environment: Go reads it once.
const throughProxy = "MICRO_ETCD_TEST_BEHIND_PROXY"

func TestP1AProxyInTheEnvironmentIsNotUsedForEtcd(t *testing.T) {
	if endpoint := os.Getenv(throughProxy); endpoint != "" {
		r := open(t, []string{endpoint})
		require.NoError(t, r.Register(service("greeter", "1", "a"), registry.RegisterTTL(time.Minute)))
		require.NoError(t, r.Close())
		return
	}
	t.Parallel()
	srv := etcdtest.Start(t)
	var asked atomic.Int64
	proxy := hearer(t, func(net.Conn) { asked.Add(1) })
	port := netip.MustParseAddrPort(srv.Endpoint()).Port()
	child := exec.CommandContext(ctx(t), os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), "HTTPS_PROXY=http://"+proxy, throughProxy+fmt.Sprint("=one.etcd.example:", port))
	said, err := child.CombinedOutput()
	require.NoError(t, err, string(said))
	require.Zero(t, asked.Load(), "connections to the proxy")
	require.Zero(t, keys(t, srv.Client(t), etcd.DefaultPrefix), "it was there, and closed")
}
