package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// dnsServer is micro-etcd dns.
type dnsServer struct {
	*process
	port int
}

func startDNS(tb testing.TB, s *server, args ...string) *dnsServer {
	tb.Helper()
	d := &dnsServer{port: freePort(tb)}
	args = append([]string{"dns", "-a", loopback(s.port), "--listen", loopback(d.port)}, args...)
	d.process = run(tb, exec.CommandContext(context.Background(), binary(tb, "micro-etcd"), args...))
	eventually(tb, func() bool { return strings.Contains(d.log.String(), "Following etcd") }, "it follows etcd")
	return d
}

// dig asks a server at a port, and returns what dig says about the answer.
func dig(tb testing.TB, port int, args ...string) string {
	tb.Helper()
	return ask(tb, "dig", port, args...)
}

func ask(tb testing.TB, tool string, port int, args ...string) string {
	tb.Helper()
	out, err := command(tb, nil, tool, append([]string{"@127.0.0.1", "-p", fmt.Sprint(port)}, args...)...)
	require.NoError(tb, err)
	return out
}

func nodesAt(name, version string, addresses ...string) *registry.Service {
	s := &registry.Service{Name: name, Version: version}
	for _, address := range addresses {
		s.Nodes = append(s.Nodes, &registry.Node{Id: name + "-" + address, Address: address})
	}
	return s
}

func TestDigAndKdigUnderstandTheAnswers(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	r := open(t, registry.Addrs(loopback(s.port)))
	small := nodesAt("go.micro.greeter", "1.2", "10.0.0.1:8001", "10.0.0.2:8002", "[2001:db8::1]:8003")
	require.NoError(t, r.Register(small))
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("10.1.%d.%d:80", i/250, i%250))
	}
	big := nodesAt("big", "1", many...)
	require.NoError(t, r.Register(big))
	d := startDNS(t, s)

	for _, tool := range []string{"dig", "kdig"} {
		short := func(args ...string) []string {
			return strings.Fields(ask(t, tool, d.port, append(args, "+short")...))
		}
		const name = "go.micro.greeter.service.micro.internal"
		require.ElementsMatch(t, []string{"10.0.0.1", "10.0.0.2"}, short(name, "A"), tool)
		require.Equal(t, []string{"2001:db8::1"}, short(name, "AAAA"), tool)
		require.Equal(t, []string{"10.0.0.1"}, short("0a000001.addr.micro.internal", "A"), tool)
		require.Len(t, short("_go.micro.greeter._tcp.service.micro.internal", "SRV"), 3*4, tool)
		require.Len(t, short("1.2._version."+name, "A"), 2, tool)
		require.Len(t, short("big.service.micro.internal", "A"), 1000, tool+" asks again by TCP")

		for status, args := range map[string][]string{
			"NXDOMAIN": {"unknown.service.micro.internal", "A"},
			"NOERROR":  {"micro.greeter.service.micro.internal", "A"},
			"REFUSED":  {"example.org", "A"},
		} {
			out := ask(t, tool, d.port, args...)
			require.Contains(t, out, "status: "+status, tool)
			if status != "REFUSED" {
				require.Contains(t, out, "SOA", tool)
			}
		}
	}
	require.Contains(t, dig(t, d.port, "micro.internal", "AXFR"), "Transfer failed")
}

// TestUnboundFindsServices runs unbound with the lines of the document, as it comes and with mixed cases.
func TestUnboundFindsServices(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{"as it comes": "", "mixed cases": "    use-caps-for-id: yes\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, usual)
			r := open(t, registry.Addrs(loopback(s.port)))
			greeter := nodesAt("go.micro.greeter", "1.2", "10.0.0.1:8001")
			require.NoError(t, r.Register(greeter))
			d := startDNS(t, s, "--ttl", "1s", "--negative-ttl", "1s")

			port, dir := freePort(t), t.TempDir()
			recipe := strings.Replace(documented(t, "unbound"), "127.0.0.1@8353", fmt.Sprintf("127.0.0.1@%d", d.port), 1)
			require.Contains(t, recipe, "server:\n")
			own := fmt.Sprintf("server:\n    port: %d\n    interface: 127.0.0.1\n    username: \"\"\n    chroot: \"\"\n"+
				"    pidfile: \"\"\n    directory: %q\n    use-syslog: no\n    module-config: \"iterator\"\n%s", port, dir, more)
			conf := filepath.Join(dir, "unbound.conf")
			require.NoError(t, os.WriteFile(conf, []byte(own+recipe), 0o600))
			run(t, exec.CommandContext(context.Background(), "/usr/sbin/unbound", "-d", "-c", conf))
			requireResolves(t, r, d, s, port, greeter)
		})
	}
}

// TestDnsmasqFindsServices runs dnsmasq with the lines of the document, and its protection against rebinding.
func TestDnsmasqFindsServices(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	r := open(t, registry.Addrs(loopback(s.port)))
	greeter := nodesAt("go.micro.greeter", "1.2", "10.0.0.1:8001")
	require.NoError(t, r.Register(greeter))
	d := startDNS(t, s, "--ttl", "1s", "--negative-ttl", "1s")

	port := freePort(t)
	recipe := strings.Replace(documented(t, "dnsmasq"), "127.0.0.1#8353", fmt.Sprintf("127.0.0.1#%d", d.port), 1)
	conf := filepath.Join(t.TempDir(), "dnsmasq.conf")
	own := fmt.Sprintf("port=%d\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nstop-dns-rebind\n", port)
	require.NoError(t, os.WriteFile(conf, []byte(own+recipe), 0o600))
	run(t, exec.CommandContext(context.Background(), "/usr/sbin/dnsmasq", "-k", "-C", conf, "--user=root"))
	requireResolves(t, r, d, s, port, greeter)
}

// documented returns the lines of the document for a resolver.
func documented(tb testing.TB, resolver string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "dns.md"))
	require.NoError(tb, err)
	_, rest, found := strings.Cut(string(text), "\n"+resolver)
	require.True(tb, found)
	_, rest, _ = strings.Cut(rest, "\n\n    ")
	block, _, _ := strings.Cut("    "+rest, "\n\n")
	var lines []string
	for line := range strings.Lines(block) {
		lines = append(lines, strings.TrimPrefix(line, "    "))
	}
	return strings.Join(lines, "") + "\n"
}

// requireResolves asks a resolver that forwards to d. Its TTLs are 1 s.
func requireResolves(t *testing.T, r registry.Registry, d *dnsServer, s *server, port int, greeter *registry.Service) {
	t.Helper()
	short := func(args ...string) string {
		return strings.TrimSpace(dig(t, port, append(args, "+short", "+tries=3", "+time=2")...))
	}
	const name = "go.micro.greeter.service.micro.internal"
	eventually(t, func() bool {
		out, err := command(t, nil, "dig", "@127.0.0.1", "-p", fmt.Sprint(port), name, "A", "+short", "+tries=1", "+time=1")
		return err == nil && strings.TrimSpace(out) == "10.0.0.1"
	}, "the resolver answers:\n%s", d.log)
	const srv = "1 1 8001 0a000001.addr.micro.internal."
	require.Equal(t, srv, short(name, "SRV"))
	require.Equal(t, srv, short("_go.micro.greeter._tcp.service.micro.internal", "SRV"))
	require.Equal(t, "10.0.0.1", short("1.2._version."+name, "A"))
	require.Equal(t, "10.0.0.1", short("0a000001.addr.micro.internal", "A"))
	require.Empty(t, short(name, "AAAA"))
	require.Contains(t, dig(t, port, "unknown.service.micro.internal", "A"), "status: NXDOMAIN")
	require.Equal(t, "10.0.0.1", short(name, "A"), "NXDOMAIN of a neighbor is none of its")

	s.stop()
	eventually(t, func() bool { return strings.Contains(dig(t, d.port, name, "A"), "EDE: 3") }, "etcd is lost")
	require.Equal(t, "10.0.0.1", short(name, "A"))
	s.start(t)
	s.awaitHealth(t)
	eventually(t, func() bool { return !strings.Contains(dig(t, d.port, name, "A"), "EDE: 3") }, "etcd is back")
	require.NoError(t, r.Deregister(greeter))
	eventually(t, func() bool { return strings.Contains(dig(t, port, name, "A"), "status: NXDOMAIN") }, "the node is gone")
}

// TestNoQueryFailsWhateverBecomesOfEtcd asks without a pause while etcd freezes, is killed and wiped.
func TestNoQueryFailsWhateverBecomesOfEtcd(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	r := open(t, registry.Addrs(loopback(s.port)))
	require.NoError(t, r.Register(nodesAt("greeter", "1", "10.0.0.1:8001"), registry.RegisterTTL(time.Minute)))
	d := startDNS(t, s, "--timeout", "1s")
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, loopback(d.port))
	}}
	var asking sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	asked := 0
	var failed []error
	asking.Go(func() {
		for ctx.Err() == nil {
			addrs, err := resolver.LookupHost(ctx, "greeter.service.micro.internal.")
			if err == nil && len(addrs) != 1 {
				err = fmt.Errorf("it has %v", addrs)
			}
			if err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
				failed = append(failed, err)
			}
			asked++
		}
	})
	defer asking.Wait()
	defer stop()
	stale := func(want bool) {
		t.Helper()
		eventually(t, func() bool {
			return want == strings.Contains(dig(t, d.port, "greeter.service.micro.internal", "A"), "EDE: 3")
		}, "stale is %v", want)
	}
	require.NoError(t, s.Process.Signal(syscall.SIGSTOP))
	stale(true)
	require.NoError(t, s.Process.Signal(syscall.SIGCONT))
	stale(false)
	s.kill()
	stale(true)
	s.start(t)
	stale(false)
	s.kill()
	stale(true)
	require.NoError(t, os.RemoveAll(s.dataDir()))
	s.start(t)
	stale(false)
	eventually(t, func() bool {
		services, err := r.GetService("greeter", etcd.Linearizable())
		return err == nil && len(services) == 1
	}, "the process has put its record back")
	stop()
	asking.Wait()
	require.Empty(t, failed)
	require.Greater(t, asked, 1000)
}
