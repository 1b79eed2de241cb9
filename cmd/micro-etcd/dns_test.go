package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/etcdtest"
)

// startDNS starts the server at a free port, and returns where it answers.
func startDNS(tb testing.TB, srv *etcdtest.Server, args ...string) (*running, string) {
	tb.Helper()
	r := start(tb, srv, nil, append([]string{"dns", "--listen", "127.0.0.1:0"}, args...)...)
	r.says("Answering for ")
	_, rest, _ := strings.Cut(r.err.String(), " at ")
	address, _, _ := strings.Cut(rest, ".\n")
	return r, address
}

// ask returns the code of an answer, and how many records are in it.
func ask(tb testing.TB, address, name string, qtype uint16) (code string, answers int) {
	tb.Helper()
	q := new(mdns.Msg).SetQuestion(name, qtype)
	m, _, err := (&mdns.Client{Timeout: patience}).Exchange(q, address)
	require.NoError(tb, err)
	return mdns.RcodeToString[m.Rcode], len(m.Answer)
}

func awaitAnswers(tb testing.TB, address, name string, qtype uint16, want int) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		code, answers := ask(tb, address, name, qtype)
		return code == "NOERROR" && answers == want
	}, patience, 5*time.Millisecond, "%s has %d", name, want)
}

const greeterName = "greeter.service.micro.internal."

func TestDNSAnswersForWhatIsRegistered(t *testing.T) {
	srv := etcdtest.Start(t)
	provider := open(t, srv)
	require.NoError(t, provider.Register(fleettest.Greeter("1", "8001", "8002")))
	r, address := startDNS(t, srv, "--log-queries", "--domain", "micro.internal,example.org")
	awaitAnswers(t, address, greeterName, mdns.TypeSRV, 2)
	awaitAnswers(t, address, "greeter.service.example.org.", mdns.TypeA, 1)
	require.NoError(t, provider.Deregister(fleettest.Greeter("1", "8002")))
	awaitAnswers(t, address, greeterName, mdns.TypeSRV, 1)
	must(t, app.ExitOK, srv, "drain", "greeter", "8001", "--yes", "--force")
	require.Eventually(t, func() bool {
		code, _ := ask(t, address, greeterName, mdns.TypeSRV)
		return code == "NXDOMAIN"
	}, patience, 5*time.Millisecond)
	require.Equal(t, app.ExitOK, r.stop())
	require.Contains(t, r.out.String(), " udp SRV greeter.service.micro.internal.: NOERROR, 2 records\n")
	require.Contains(t, r.out.String(), " udp SRV greeter.service.micro.internal.: NXDOMAIN, 0 records\n")
	require.Contains(t, r.err.String(), "Following etcd at /micro/registry/.\n")
}

// stream asks for greeter's address without a pause until it is ended, and notes every answer that is none.
type stream struct {
	asked  int
	failed []string
	end    func()
}

func startStream(tb testing.TB, address string) *stream {
	tb.Helper()
	s := &stream{}
	ended := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		client := &mdns.Client{Timeout: patience}
		for {
			select {
			case <-ended:
				return
			default:
			}
			m, _, err := client.Exchange(new(mdns.Msg).SetQuestion(greeterName, mdns.TypeA), address)
			s.asked++
			switch {
			case err != nil:
				s.failed = append(s.failed, err.Error())
			case len(m.Answer) != 1:
				s.failed = append(s.failed, mdns.RcodeToString[m.Rcode])
			}
		}
	})
	s.end = sync.OnceFunc(func() { close(ended); asking.Wait() })
	tb.Cleanup(s.end)
	return s
}

// TestDNSGoesOnWhateverBecomesOfEtcd: no query goes without an answer, and none is told that there is no greeter.
func TestDNSGoesOnWhateverBecomesOfEtcd(t *testing.T) {
	dir := t.TempDir()
	srv, err := etcdtest.Run(dir)
	require.NoError(t, err)
	t.Cleanup(srv.Stop)
	provider := open(t, srv)
	require.NoError(t, provider.Register(fleettest.Greeter("1", "8001")))
	r, address := startDNS(t, srv, "--timeout", "1s")
	awaitAnswers(t, address, greeterName, mdns.TypeA, 1)
	s := startStream(t, address)

	awaitStale := func(stale bool) {
		t.Helper()
		require.Eventually(t, func() bool {
			q := new(mdns.Msg).SetQuestion(greeterName, mdns.TypeA)
			q.SetEdns0(1232, false)
			m, _, err := (&mdns.Client{Timeout: patience}).Exchange(q, address)
			require.NoError(t, err)
			return stale == (len(m.IsEdns0().Option) == 1)
		}, patience, 5*time.Millisecond)
	}
	srv.Stop()
	awaitStale(true)
	require.NoError(t, srv.Restart())
	awaitStale(false)

	srv.Stop()
	awaitStale(true)
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, srv.Restart())
	awaitStale(false)
	require.Eventually(t, func() bool {
		return fleettest.Get(t, srv.Client(t), fleettest.RecordKey("8001")) != ""
	}, patience, 5*time.Millisecond)
	s.end()
	require.Empty(t, s.failed)
	require.Greater(t, s.asked, 100)
	require.Equal(t, app.ExitOK, r.stop())
	require.Equal(t, 2, strings.Count(r.err.String(), "Trying again."), r.err.String())
}

func TestDNSStartsWhileEtcdIsAway(t *testing.T) {
	srv := etcdtest.Start(t)
	fleettest.Put(t, srv.Client(t), fleettest.RecordKey("8001"), fleettest.Stored(t, fleettest.Greeter("1", "8001")))
	cache := filepath.Join(t.TempDir(), "cache")
	r, address := startDNS(t, srv, "--cache-dir", cache)
	awaitAnswers(t, address, greeterName, mdns.TypeA, 1)
	require.Equal(t, app.ExitOK, r.stop()) // which saves it
	srv.Stop()

	r, address = startDNS(t, srv, "--timeout", "500ms")
	r.says("Trying again.")
	code, _ := ask(t, address, greeterName, mdns.TypeA)
	require.Equal(t, "SERVFAIL", code, "it can't know")
	cold, coldAddress := startDNS(t, srv, "--timeout", "500ms", "--cache-dir", cache)
	awaitAnswers(t, coldAddress, greeterName, mdns.TypeA, 1)
	require.NoError(t, srv.Restart())
	awaitAnswers(t, address, greeterName, mdns.TypeA, 1)
	require.Equal(t, app.ExitOK, r.stop())
	require.Equal(t, app.ExitOK, cold.stop())
}

// TestDNSAnswersWithoutItsCacheDirectory: where that should be there is a file at first.
func TestDNSAnswersWithoutItsCacheDirectory(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	fleettest.Lasting(t, srv.Client(t), fleettest.Greeter("1", "8001"))
	cache := filepath.Join(t.TempDir(), "cache")
	require.NoError(t, os.WriteFile(cache, nil, 0o600))
	r, address := startDNS(t, srv, "--cache-dir", cache)
	r.says("can't be kept in " + cache)
	awaitAnswers(t, address, greeterName, mdns.TypeSRV, 1)
	require.NoError(t, os.Remove(cache))
	fleettest.Lasting(t, srv.Client(t), fleettest.Greeter("1", "8002"))
	awaitAnswers(t, address, greeterName, mdns.TypeSRV, 2)
	require.Equal(t, app.ExitOK, r.stop()) // which saves it
	require.Equal(t, 1, strings.Count(r.err.String(), "can't be kept in "), r.err.String())
	require.Equal(t, 1, strings.Count(r.err.String(), "is kept in "+cache+" again"), r.err.String())
}

// TestDNSHasNoFileForWhoIsRefused: he may not know any more what is in it. What has begun to stand in goes on.
func TestDNSHasNoFileForWhoIsRefused(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t, cheapPasswords)
	fleettest.Put(t, srv.Client(t), fleettest.RecordKey("8001"), fleettest.Stored(t, fleettest.Greeter("1", "8001")))
	withRoles(t, srv)
	root, err := clientv3.New(clientv3.Config{Endpoints: srv.Endpoints(), Username: "root", Password: "pw"})
	require.NoError(t, err)
	defer root.Close()
	const dir, end = "/micro/registry/", "/micro/registry0"
	_, err = root.RoleGrantPermission(t.Context(), "consumer", dir, end, clientv3.PermissionType(clientv3.PermRead))
	require.NoError(t, err)

	args := []string{
		"--user", "consumer", "--password-file", passwordFile(t), "--cache-dir", filepath.Join(t.TempDir(), "cache"),
	}
	r, address := startDNS(t, srv, args...)
	awaitAnswers(t, address, greeterName, mdns.TypeA, 1)
	require.Equal(t, app.ExitOK, r.stop()) // which saves it
	_, err = root.RoleRevokePermission(t.Context(), "consumer", dir, end)
	require.NoError(t, err)

	srv.Stop()
	r, address = startDNS(t, srv, append(args, "--timeout", "500ms")...)
	awaitAnswers(t, address, greeterName, mdns.TypeA, 1)
	require.NoError(t, srv.Restart())
	r.says("permission denied")
	awaitAnswers(t, address, greeterName, mdns.TypeA, 1)
	require.Equal(t, app.ExitOK, r.stop())

	r, address = startDNS(t, srv, args...)
	r.says("permission denied")
	time.Sleep(1200 * time.Millisecond) // a file would stand in by now
	code, _ := ask(t, address, greeterName, mdns.TypeA)
	require.Equal(t, "SERVFAIL", code)
	require.Equal(t, app.ExitOK, r.stop())
	require.Equal(t, 1, strings.Count(r.err.String(), "Trying again."), r.err.String())
}

// get returns a page's status and text.
func get(tb testing.TB, url string) (int, string) {
	tb.Helper()
	defer http.DefaultClient.CloseIdleConnections()
	answer, err := http.Get(url)
	require.NoError(tb, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(tb, err)
	return answer.StatusCode, string(body)
}

func TestDNSTellsHowItIs(t *testing.T) {
	srv := etcdtest.Start(t)
	get := func(url string) (int, string) { return get(t, url) }
	srv.Stop()
	r, address := startDNS(t, srv, "--http", "127.0.0.1:0", "--timeout", "500ms", "--max-stale", "1s")
	r.says("Metrics at ")
	_, rest, _ := strings.Cut(r.err.String(), "Metrics at ")
	base, _, _ := strings.Cut(rest, "metrics.\n")
	code, text := get(base + "healthz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, text, "etcd hasn't told yet")
	require.NoError(t, srv.Restart())
	require.Eventually(t, func() bool { code, _ = get(base + "healthz"); return code == http.StatusOK }, patience, 5*time.Millisecond)
	ask(t, address, greeterName, mdns.TypeA)
	require.Eventually(t, func() bool {
		_, text = get(base + "metrics")
		return strings.Contains(text, `micro_etcd_dns_queries_total{rcode="NXDOMAIN",transport="udp",type="A"} 1`)
	}, patience, 5*time.Millisecond)
	require.Contains(t, text, "micro_etcd_dns_stale_seconds 0\n")
	srv.Stop()
	require.Eventually(t, func() bool { code, text = get(base + "healthz"); return code != http.StatusOK }, patience, 5*time.Millisecond)
	require.Contains(t, text, "etcd can't be followed for")
	require.Equal(t, app.ExitOK, r.stop())
}

// TestDNSDoesNotWaitForWhoReadsItsLog: 10,000 lines fit into no pipe.
func TestDNSDoesNotWaitForWhoReadsItsLog(t *testing.T) {
	stopped, release := make(chan struct{}), make(chan struct{})
	q := &queryLog{lines: make(chan string, 10)}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { defer close(stopped); q.run(ctx, waiting{release, t.Output()}) }()
	for range 10_000 {
		q.add("a query\n")
	}
	require.Positive(t, q.leftOut.Load())
	cancel()
	close(release)
	<-stopped
	require.Zero(t, q.leftOut.Load(), "what was left out is told")
}

// waiting is a writer that first waits.
type waiting struct {
	until <-chan struct{}
	io.Writer
}

func (w waiting) Write(b []byte) (int, error) {
	<-w.until
	return w.Writer.Write(b)
}

func TestDNSRefusesWhatMakesNoSense(t *testing.T) {
	for want, args := range map[string][]string{
		"--ttl 1.5s is not a whole number of seconds":                                  {"--ttl", "1500ms"},
		"--negative-ttl -1s is not a whole number of seconds":                          {"--negative-ttl", "-1s"},
		"--max-stale -1s is negative":                                                  {"--max-stale", "-1s"},
		"--max-answers -1 is negative":                                                 {"--max-answers", "-1"},
		`--domain: "a..b" is no domain name`:                                           {"--domain", "a..b"},
		`--domain: "." is no domain name`:                                              {"--domain", "."},
		`--allow "10.0.0.0/33" is neither an address nor a network such as 10.0.0.0/8`: {"--allow", "10.0.0.0/33"},
		`--allow "::ffff:10.0.0.1" is neither`:                                         {"--allow", "::ffff:10.0.0.1"},
		`--allow "fe80::1%eth0" is neither`:                                            {"--allow", "fe80::1%eth0"},
		`--domain: "addr.example.org" and "example.org." are in each other's way`:      {"--domain", "example.org,addr.example.org"},
		"--listen 127.0.0.1:x":                                                         {"--listen", "127.0.0.1:x"},
		"--http 127.0.0.1:x":                                                           {"--listen", "127.0.0.1:0", "--http", "127.0.0.1:x"},
		"--listen 0.0.0.0:0 can be reached from other machines: say with --allow":      {"--listen", "0.0.0.0:0"},
		"dns takes no arguments":                                                       {"greeter"},
	} {
		_, err := must(t, app.ExitFailed, nil, append([]string{"dns"}, args...)...)
		require.Contains(t, err, want)
	}
}
