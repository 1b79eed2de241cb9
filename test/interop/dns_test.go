package interop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// dnsServer is micro-etcd dns.
type dnsServer struct {
	*process
	line []string // the command line
	port int
}

// startDNS returns when it has all that etcd has.
func startDNS(tb testing.TB, s *server, args ...string) *dnsServer {
	tb.Helper()
	d := newDNS(tb, s, args...)
	d.start(tb)
	d.says(tb, "Following etcd")
	return d
}

func newDNS(tb testing.TB, s *server, args ...string) *dnsServer {
	tb.Helper()
	port := freePort(tb)
	line := []string{binary(tb, "micro-etcd"), "dns", "-a", s.address(), "--listen", loopback(port)}
	return &dnsServer{line: append(line, args...), port: port}
}

// start starts it, again at its port if it ran before.
func (d *dnsServer) start(tb testing.TB) {
	tb.Helper()
	d.process = run(tb, exec.CommandContext(context.Background(), d.line[0], d.line[1:]...)) //nolint:gosec // see newDNS
}

func (d *dnsServer) says(tb testing.TB, text string) {
	tb.Helper()
	eventually(tb, func() bool { return strings.Contains(d.log.String(), text) }, "it says %q:\n%s", text, d.log)
}

// dig asks a server at a port, and returns what dig says about the answer.
func dig(tb testing.TB, port int, args ...string) string {
	tb.Helper()
	return ask(tb, "dig", port, args...)
}

// ask asks with EDNS, which kdig does only if it is told to.
func ask(tb testing.TB, tool string, port int, args ...string) string {
	tb.Helper()
	out, err := command(tb, nil, tool, append([]string{"@127.0.0.1", "-p", fmt.Sprint(port), "+edns=0"}, args...)...)
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

var tools = []string{"dig", "kdig"}

// greeterName is where what greeterService returns is.
const greeterName = "go.micro.srv.greeter.service.micro.internal"

func greeterService(addresses ...string) *registry.Service {
	return nodesAt("go.micro.srv.greeter", "1.2", addresses...)
}

func TestDigAndKdigUnderstandTheAnswers(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	r := open(t, registry.Addrs(loopback(s.port)))
	require.NoError(t, r.Register(greeterService("10.0.0.1:8001", "10.0.0.2:8002", "[2001:db8::1]:8003")))
	d := startDNS(t, s)
	for _, tool := range tools {
		short := func(args ...string) []string {
			return slices.Sorted(strings.Lines(ask(t, tool, d.port, append(args, "+short")...)))
		}
		require.Equal(t, []string{"10.0.0.1\n", "10.0.0.2\n"}, short(greeterName, "A"), tool)
		require.Equal(t, []string{"2001:db8::1\n"}, short(greeterName, "AAAA"), tool)
		require.Equal(t, []string{"10.0.0.1\n"}, short("0a000001.addr.micro.internal", "A"), tool)
		srv := []string{
			"1 1 8001 0a000001.addr.micro.internal.\n",
			"1 1 8002 0a000002.addr.micro.internal.\n",
			"1 1 8003 20010db8000000000000000000000001.addr.micro.internal.\n",
		}
		require.Equal(t, srv, short(greeterName, "SRV"), tool)
		require.Equal(t, srv, short("_go.micro.srv.greeter._tcp.service.micro.internal", "SRV"), tool)
		require.Len(t, short("1.2._version."+greeterName, "A"), 2, tool)
		for name, status := range map[string]string{
			"unknown.service.micro.internal": "NXDOMAIN",
			"greeter.service.micro.internal": "NOERROR",
			"1.3._version." + greeterName:    "NXDOMAIN",
			"0a000003.addr.micro.internal":   "NXDOMAIN",
			"_unknown._tcp.micro.internal":   "NXDOMAIN",
			"_tcp.service.micro.internal":    "NOERROR",
			"greeter._tcp.micro.internal":    "NOERROR",
		} {
			out := ask(t, tool, d.port, name, "SRV")
			require.Contains(t, out, "status: "+status, tool)
			require.Regexp(t, `\nmicro\.internal\.\s+5\s+IN\s+SOA\s`, out, tool)
		}
	}
}

func TestDigAndKdigGetAThousandNodesByTCP(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	r := open(t, registry.Addrs(loopback(s.port)), registry.Timeout(patience)) // a thousand records take a while
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("10.1.%d.%d:80", i/250, i%250))
	}
	require.NoError(t, r.Register(nodesAt("big", "1", many...)))
	d := startDNS(t, s)
	for _, tool := range tools {
		for qtype, fields := range map[string]int{"A": 1, "SRV": 4} {
			first := ask(t, tool, d.port, "big.service.micro.internal", qtype, "+ignore")
			require.Regexp(t, `(?i);; flags: qr aa tc `, first, tool)
			all := ask(t, tool, d.port, "big.service.micro.internal", qtype, "+short")
			require.Len(t, strings.Fields(all), 1000*fields, "%s %s", tool, qtype)
		}
	}
}

func TestDigAndKdigAreRefusedWhatIsNotAnswered(t *testing.T) {
	t.Parallel()
	d := startDNS(t, startServer(t, usual))
	for _, tool := range tools {
		require.Contains(t, ask(t, tool, d.port, "example.org", "A"), "status: REFUSED", tool)
	}
	require.Contains(t, dig(t, d.port, "micro.internal", "AXFR"), "Transfer failed")
	_, err := command(t, nil, "kdig", "@127.0.0.1", "-p", fmt.Sprint(d.port), "micro.internal", "AXFR")
	require.ErrorContains(t, err, "REFUSED")
}

func TestDigAndKdigAreToldThatAnAnswerIsStale(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	r := open(t, registry.Addrs(loopback(s.port)))
	require.NoError(t, r.Register(greeterService("10.0.0.1:8001")))
	d := startDNS(t, s)
	for _, tool := range tools {
		require.NotContains(t, ask(t, tool, d.port, greeterName, "A"), "EDE", tool)
	}
	s.kill()
	awaitStale(t, d, greeterName, true)
	for _, tool := range tools {
		out := ask(t, tool, d.port, greeterName, "A")
		require.Contains(t, out, "EDE: 3 (Stale Answer)", tool)
		require.Contains(t, out, "10.0.0.1", tool)
		require.Contains(t, ask(t, tool, d.port, "unknown.service.micro.internal", "A"), "EDE: 19 (Stale NXDOMAIN", tool)
	}
}

// TestUnboundFindsServices runs unbound with the lines of the document. As it comes, it asks label by label and, in
// Debian, validates; it may also be told to mix cases.
func TestUnboundFindsServices(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ more, asks string }{
		"as it comes": {"", `udp A service\.micro\.internal\.: NOERROR`},
		"mixed cases": {"    use-caps-for-id: yes\n", `udp A [^ ]*([a-z][^ ]*[A-Z]|[A-Z][^ ]*[a-z])[^ ]*: NOERROR`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startForwarded(t)
			port, dir := freePort(t), t.TempDir()
			own := fmt.Sprintf("server:\n    port: %d\n    interface: 127.0.0.1\n    username: \"\"\n    chroot: \"\"\n"+
				"    pidfile: \"\"\n    directory: %q\n    use-syslog: no\n    private-address: 10.0.0.0/8\n"+
				"    trust-anchor: %q\n%s", port, dir, rootKey, tc.more)
			conf := filepath.Join(dir, "unbound.conf")
			require.NoError(t, os.WriteFile(conf, []byte(own+f.recipe(t, "unbound", "@")), 0o600))
			run(t, exec.CommandContext(context.Background(), binary(t, "unbound"), "-d", "-c", conf))
			f.requireResolves(t, port, tc.asks, forwardedTTL)
		})
	}
}

// rootKey is the root's, as IANA publishes it: resolvers that have it validate.
const rootKey = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"

// TestDnsmasqFindsServices runs dnsmasq with the lines of the document, and its protection against rebinding.
func TestDnsmasqFindsServices(t *testing.T) {
	t.Parallel()
	f := startForwarded(t)
	port, dir := freePort(t), t.TempDir()
	own := fmt.Sprintf("port=%d\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nstop-dns-rebind\n"+
		"user=root\npid-file=%s\n", port, filepath.Join(dir, "pid")) // user=root: it goes on as who started it
	conf := filepath.Join(dir, "dnsmasq.conf")
	require.NoError(t, os.WriteFile(conf, []byte(own+f.recipe(t, "dnsmasq", "#")), 0o600))
	run(t, exec.CommandContext(context.Background(), binary(t, "dnsmasq"), "-k", "-C", conf))
	f.requireResolves(t, port, `udp A `, forwardedTTL)
}

// TestCoreDNSFindsServices runs CoreDNS with the lines of the document.
func TestCoreDNSFindsServices(t *testing.T) {
	t.Parallel()
	f := startForwarded(t)
	port := freePort(t)
	recipe := strings.Replace(documented(t, "CoreDNS"), "10.0.0.5:8353", loopback(f.port), 1)
	recipe = strings.Replace(recipe, ":53 {", fmt.Sprintf(":%d {\n    bind 127.0.0.1", port), 1)
	conf := filepath.Join(t.TempDir(), "Corefile")
	require.NoError(t, os.WriteFile(conf, []byte(recipe), 0o600))
	run(t, exec.CommandContext(context.Background(), binary(t, "coredns"), "-conf", conf))
	f.requireResolves(t, port, `udp A `, 5*time.Second) // its cache keeps nothing for less
}

// TestBINDFindsServices runs BIND with the lines of the document, and lets it validate.
func TestBINDFindsServices(t *testing.T) {
	t.Parallel()
	f := startForwarded(t)
	port, dir := freePort(t), t.TempDir()
	recipe := f.recipe(t, "BIND", " port ")
	require.Contains(t, recipe, "options {\n")
	own := fmt.Sprintf("options {\n    directory %q;\n    pid-file none;\n    session-keyfile none;\n"+
		"    listen-on port %d { 127.0.0.1; };\n    listen-on-v6 { none; };\n    dnssec-validation auto;\n", dir, port)
	conf := filepath.Join(dir, "named.conf")
	text := "controls {};\n" + strings.Replace(recipe, "options {\n", own, 1)
	require.NoError(t, os.WriteFile(conf, []byte(text), 0o600))
	run(t, exec.CommandContext(context.Background(), binary(t, "named"), "-g", "-c", conf))
	f.requireResolves(t, port, `udp A `, forwardedTTL)
}

// resolved runs systemd-resolved with the files of a directory where the document has them. They, and what it writes,
// are in a namespace that ends with this script's input. Only if root starts it does it want a user of its own.
const resolved = `mount -t tmpfs files /run
mount -t tmpfs files /etc/systemd
install -D -m 644 -t /etc/systemd/resolved.conf.d "$1"/*.conf
install -D -t /run/bin "$2"/*
install -d -o nobody /run/systemd/resolve
can=+setpcap,+net_raw,+net_bind_service
LD_LIBRARY_PATH=/run/bin setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=$can --ambient-caps=$can \
    /run/bin/systemd-resolved &
read -r _ || true`

// TestResolvedFindsServices runs systemd-resolved with the lines of the document.
func TestResolvedFindsServices(t *testing.T) {
	t.Parallel()
	f := startForwarded(t)
	port, dir := freePort(t), t.TempDir()
	own := fmt.Sprintf("[Resolve]\nDNSStubListener=no\nDNSStubListenerExtra=127.0.0.1:%d\nLLMNR=no\nMulticastDNS=no\n", port)
	for name, lines := range map[string]string{"own.conf": own, "micro.conf": f.recipe(t, "systemd-resolved", ":")} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(lines), 0o600))
	}
	line := []string{"unshare", "--mount", "--pid", "--fork", "bash", "-euc", resolved, "-"}
	line = append(line, dir, filepath.Dir(binary(t, "resolved/systemd-resolved")))
	if os.Geteuid() != 0 {
		line = append([]string{"sudo", "-n"}, line...)
	}
	cmd := exec.CommandContext(context.Background(), line[0], line[1:]...) //nolint:gosec // it is written above
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	p := run(t, cmd)
	t.Cleanup(func() { _ = in.Close() }) // unless it has ended
	eventually(t, func() bool {
		require.False(t, p.ended(), "systemd-resolved needs root, or sudo, and a namespace:\n%s", p.log)
		conn, err := net.Dial("tcp", loopback(port))
		if err == nil {
			require.NoError(t, conn.Close())
		}
		return err == nil
	}, "it listens")

	require.NotContains(t, dig(t, port, "example.org", "A"), "status: NOERROR", "it has nobody else to ask")
	require.Contains(t, f.log.String(), "example.org.: REFUSED")
	f.requireResolves(t, port, `udp A `, forwardedTTL)
}

// forwarded is micro-etcd dns with two services, for a resolver to forward to.
type forwarded struct {
	*dnsServer
	etcd     *server
	registry registry.Registry
	greeter  *registry.Service
}

// Others may keep an answer for forwardedTTL. Their clocks have whole seconds.
const forwardedTTL = time.Second

func startForwarded(tb testing.TB) *forwarded {
	tb.Helper()
	s := startServer(tb, usual)
	r := open(tb, registry.Addrs(loopback(s.port)))
	f := &forwarded{etcd: s, registry: r, greeter: greeterService("10.0.0.1:8001")}
	require.NoError(tb, r.Register(f.greeter))
	require.NoError(tb, r.Register(nodesAt("go.micro.srv.other", "1", "10.0.0.2:8002")))
	ttl := forwardedTTL.String()
	f.dnsServer = startDNS(tb, s, "--ttl", ttl, "--negative-ttl", ttl, "--log-queries")
	return f
}

// recipe returns the document's lines for a resolver, with the port of this server.
func (f *forwarded) recipe(tb testing.TB, resolver, separator string) string {
	tb.Helper()
	lines := documented(tb, resolver)
	const address = "127.0.0.1"
	require.Contains(tb, lines, address+separator+"8353")
	return strings.Replace(lines, address+separator+"8353", fmt.Sprint(address, separator, f.port), 1)
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

// requireResolves asks a resolver that forwards. For its first answer it has to ask in a certain way, and it may keep
// an answer for a time.
func (f *forwarded) requireResolves(t *testing.T, port int, way string, kept time.Duration) {
	t.Helper()
	short := func(args ...string) string {
		return strings.TrimSpace(dig(t, port, append(args, "+short")...))
	}
	eventually(t, func() bool {
		at := []string{"@127.0.0.1", "-p", fmt.Sprint(port), "+tries=1", "+time=1"}
		out, err := command(t, nil, "dig", append(at, greeterName, "A", "+short")...)
		return err == nil && out == "10.0.0.1\n"
	}, "the resolver answers:\n%s", f.log)
	asks := regexp.MustCompile(way)
	eventually(t, func() bool { return asks.MatchString(f.log.String()) }, "it asks %s", way)
	for name, status := range map[string]string{
		"service.micro.internal": "NOERROR", "greeter.service.micro.internal": "NOERROR", // above names that exist
		"unknown.service.micro.internal": "NXDOMAIN", "unknown.greeter.service.micro.internal": "NXDOMAIN",
	} {
		require.Contains(t, dig(t, port, name, "A"), "status: "+status, name)
	}
	require.Equal(t, "10.0.0.1", short(greeterName, "A"), "what its neighbors and parents are is none of its")
	require.Empty(t, short(greeterName, "AAAA"))
	require.Equal(t, "10.0.0.1", short("1.2._version."+greeterName, "A"))
	require.Equal(t, "10.0.0.1", short("0a000001.addr.micro.internal", "A"))
	const srv = "1 1 8001 0a000001.addr.micro.internal."
	require.Equal(t, srv, short(greeterName, "SRV"))
	require.Equal(t, srv, short("_go.micro.srv.greeter._tcp.service.micro.internal", "SRV"))
	requireGoFinds(t, port)

	f.etcd.kill()
	awaitStale(t, f.dnsServer, greeterName, true)
	const other = "go.micro.srv.other.service.micro.internal"
	require.Equal(t, "10.0.0.2", short(other, "A"), "it wasn't asked for before")
	f.etcd.start(t)
	f.etcd.awaitHealth(t)
	awaitStale(t, f.dnsServer, greeterName, false)

	require.NoError(t, f.registry.Deregister(f.greeter))
	eventually(t, func() bool {
		return strings.Contains(dig(t, f.port, greeterName, "A"), "status: NXDOMAIN")
	}, "it is gone")
	gone, told := time.Now(), time.Time{}
	eventually(t, func() bool {
		asked := time.Now()
		out := dig(t, port, greeterName, "A")
		if strings.Contains(out, "10.0.0.1") {
			told = asked
		}
		return strings.Contains(out, "status: NXDOMAIN")
	}, "the resolver knows, too")
	require.Less(t, told.Sub(gone), kept+time.Second)
}

// requireGoFinds looks up a service as go-micro's selector/dns does, and the hosts that it is told.
func requireGoFinds(t *testing.T, port int) {
	t.Helper()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, loopback(port))
	}}
	_, found, err := resolver.LookupSRV(t.Context(), "go.micro.srv.greeter", "tcp", "micro.internal")
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, uint16(8001), found[0].Port)
	addrs, err := resolver.LookupHost(t.Context(), found[0].Target)
	require.NoError(t, err)
	require.Equal(t, []string{"10.0.0.1"}, addrs)
}

// reply is what came of a query.
type reply struct {
	code    dnsmessage.RCode
	answers int
	why     int // the extended error (RFC 8914), -1 without one
}

const staleAnswer = 3

// query asks for addresses, by UDP, once: what fails must not be mended by asking again.
func query(ctx context.Context, port int, name string) (reply, error) {
	var options dnsmessage.ResourceHeader
	if err := options.SetEDNS0(1232, dnsmessage.RCodeSuccess, false); err != nil {
		return reply{}, err
	}
	asked, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return reply{}, err
	}
	m := dnsmessage.Message{
		Header:      dnsmessage.Header{ID: uint16(rand.Uint32())}, //nolint:gosec // its low bits
		Questions:   []dnsmessage.Question{{Name: asked, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
		Additionals: []dnsmessage.Resource{{Header: options, Body: &dnsmessage.OPTResource{}}},
	}
	data, err := m.Pack()
	if err != nil {
		return reply{}, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "udp", loopback(port))
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return reply{}, err
	}
	if _, err := conn.Write(data); err != nil {
		return reply{}, err
	}
	data = make([]byte, 1232)
	n, err := conn.Read(data)
	if err != nil {
		return reply{}, err
	}
	var answer dnsmessage.Message
	if err := answer.Unpack(data[:n]); err != nil {
		return reply{}, err
	}
	if answer.ID != m.ID {
		return reply{}, errors.New("it answers something else")
	}
	r := reply{answer.RCode, len(answer.Answers), -1}
	for _, extra := range answer.Additionals {
		if opt, ok := extra.Body.(*dnsmessage.OPTResource); ok {
			for _, o := range opt.Options {
				if o.Code == 15 && len(o.Data) >= 2 {
					r.why = int(o.Data[0])<<8 | int(o.Data[1])
				}
			}
		}
	}
	return r, nil
}

func awaitStale(tb testing.TB, d *dnsServer, name string, want bool) {
	tb.Helper()
	eventually(tb, func() bool {
		r, err := query(tb.Context(), d.port, name)
		require.NoError(tb, err)
		return want == (r.why == staleAnswer)
	}, "stale is %v:\n%s", want, d.log)
}

// stream asks without a pause until it is ended, and notes what isn't as it should be.
type stream struct {
	end    func()
	asked  int
	failed []string
}

func startStream(tb testing.TB, d *dnsServer, name string) *stream {
	tb.Helper()
	s := new(stream)
	ended := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
			}
			s.asked++
			switch r, err := query(context.Background(), d.port, name); {
			case err != nil:
				s.failed = append(s.failed, err.Error())
			case r.code != dnsmessage.RCodeSuccess || r.answers != 1 || r.why != -1 && r.why != staleAnswer:
				s.failed = append(s.failed, fmt.Sprintf("%+v", r))
			}
		}
	})
	s.end = sync.OnceFunc(func() { close(ended); asking.Wait() })
	tb.Cleanup(s.end)
	return s
}

// TestNoQueryFailsWhateverBecomesOfEtcd asks without a pause while etcd freezes, is killed and wiped.
func TestNoQueryFailsWhateverBecomesOfEtcd(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	r := open(t, registry.Addrs(loopback(s.port)))
	greeter := greeterService("10.0.0.1:8001")
	require.NoError(t, r.Register(greeter, registry.RegisterTTL(time.Minute)))
	d := startDNS(t, s, "--timeout", "1s")
	asking := startStream(t, d, greeterName)
	lost := func() {
		t.Helper()
		awaitStale(t, d, greeterName, true)
		for range 100 {
			answer, err := query(t.Context(), d.port, greeterName)
			require.NoError(t, err)
			require.Equal(t, staleAnswer, answer.why)
		}
	}
	require.NoError(t, s.Process.Signal(syscall.SIGSTOP))
	lost()
	require.NoError(t, s.Process.Signal(syscall.SIGCONT))
	awaitStale(t, d, greeterName, false)
	s.kill()
	lost()
	s.start(t)
	awaitStale(t, d, greeterName, false)
	s.kill()
	lost()
	require.NoError(t, os.RemoveAll(s.dataDir()))
	s.start(t)
	awaitStale(t, d, greeterName, false)
	eventually(t, func() bool {
		services, err := r.GetService(greeter.Name, etcd.Linearizable())
		return err == nil && len(services) == 1
	}, "the process has put its record back")
	asking.end()
	require.Empty(t, asking.failed)
	require.Greater(t, asking.asked, 1000)

	require.NoError(t, r.Deregister(greeter))
	eventually(t, func() bool {
		answer, err := query(t.Context(), d.port, greeterName)
		require.NoError(t, err)
		return answer.code == dnsmessage.RCodeNameError
	}, "what leaves is gone")
}
