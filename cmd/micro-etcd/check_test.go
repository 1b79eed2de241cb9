package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/auth"
)

// putNode makes a record of a service's node.
func putNode(tb testing.TB, srv *etcdtest.Server, service, id, address string) {
	tb.Helper()
	fleettest.Put(tb, srv.Client(tb), etcd.DefaultPrefix+service+"/"+id, fleettest.Stored(tb, &registry.Service{
		Name: service, Version: "1", Nodes: []*registry.Node{{Id: id, Address: address}},
	}))
}

// refused is an address that nothing listens at, and that no listener gets by chance.
const refused = "127.0.0.1:1"

// peer accepts connections, keeps what it is sent, and never answers.
type peer struct {
	listener net.Listener
	running  sync.WaitGroup
	got      buffer
	met      chan struct{} // has one for each connection
}

// listen starts a peer, which ends with the test unless it was closed before.
func listen(tb testing.TB, address string) *peer {
	tb.Helper()
	l, err := net.Listen("tcp", address)
	require.NoError(tb, err)
	p := &peer{listener: l, met: make(chan struct{}, 1000)}
	p.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case p.met <- struct{}{}:
			default: // nobody counts so many
			}
			p.running.Go(func() {
				_, _ = io.Copy(&p.got, conn) // until the caller hangs up
				_ = conn.Close()             // nobody is there any more
			})
		}
	})
	tb.Cleanup(p.close)
	return p
}

func (p *peer) close() {
	_ = p.listener.Close() // it may be closed already
	p.running.Wait()
}

func (p *peer) address() string { return p.listener.Addr().String() }

// checked runs a check that ends with a code, and returns its report.
func checked(tb testing.TB, code int, srv *etcdtest.Server, args ...string) checkReport {
	tb.Helper()
	out, _ := must(tb, code, srv, append([]string{"check", "-o", "json"}, args...)...)
	var r checkReport
	require.NoError(tb, json.Unmarshal([]byte(out), &r), out)
	return r
}

func TestCheckReportsWhoDoesNotAnswerAndChangesNothing(t *testing.T) {
	srv := etcdtest.Start(t)
	up := listen(t, "127.0.0.1:0")
	putNode(t, srv, "greeter", "a", up.address())
	putNode(t, srv, "greeter", "b", up.address())
	out, said := must(t, app.ExitOK, srv, "check")
	require.Equal(t, "OK: 2 of 2 nodes answer (tcp)\n", out)
	require.Empty(t, said)

	putNode(t, srv, "greeter", "c", refused)
	before, err := srv.Client(t).Get(t.Context(), "x")
	require.NoError(t, err)
	out, said = must(t, app.ExitNo, srv, "check", "greeter")
	require.Equal(t, strings.Join([]string{
		"WARNING: 2 of 3 nodes answer (tcp)",
		"STATE    SERVICE  VERSION  NODE  ADDRESS" + strings.Repeat(" ", len(refused)-5) + "REASON",
		"failing  greeter  1        c     " + refused + "  dial tcp " + refused + ": connect: connection refused",
		"",
	}, "\n"), out)
	require.Empty(t, said, "what there is to say is in the output")

	putNode(t, srv, "billing", "a", "")
	putNode(t, srv, "billing", "b", "/run/billing.sock")
	out, _ = must(t, app.ExitCritical, srv, "check")
	require.Contains(t, out, "CRITICAL: 2 of 5 nodes answer (tcp); services down: billing\n")
	require.Regexp(t, `failing +billing +1 +a +- +can't be dialed: the address is empty\n`, out)
	must(t, app.ExitNo, srv, "check", "greeter")

	r := checked(t, app.ExitCritical, srv)
	require.Equal(t, []string{"billing"}, r.Down)
	require.Equal(t, [4]int{5, 2, 3, 0}, [4]int{r.All, r.OK, r.Failing, r.NotAsked})
	require.Equal(t, "critical", r.Status)
	require.Len(t, r.Results, 5, "those that answer, too")
	require.Equal(t, checkResult{
		Service: "billing", Version: "1", Node: "b", Address: "/run/billing.sock", State: stateFailing,
		Reason: "can't be dialed: the address is neither host:port nor an HTTP URL",
	}, r.Results[1])
	_, err = time.Parse(time.RFC3339Nano, r.Time)
	require.NoError(t, err)

	after, err := srv.Client(t).Get(t.Context(), "x")
	require.NoError(t, err)
	require.EqualValues(t, 2, after.Header.Revision-before.Header.Revision, "the two that the test wrote")
}

func TestCheckHasATypeForEachKindOfServer(t *testing.T) {
	srv := etcdtest.Start(t)
	s := server.NewServer(
		server.Name("greeter"), server.Id("1"), server.Address("127.0.0.1:0"), server.Registry(open(t, srv)),
		server.Broker(broker.NewMemoryBroker()), server.RegisterTTL(time.Minute))
	require.NoError(t, s.Start())
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			http.Error(w, "no such page", http.StatusNotFound)
		}
	}))
	t.Cleanup(web.Close)
	putNode(t, srv, "web", "1", web.Listener.Addr().String())

	must(t, app.ExitOK, srv, "check", "greeter", "--type", "micro")
	r := checked(t, app.ExitCritical, srv, "--type", "micro")
	require.Equal(t, []string{"web"}, r.Down)
	require.Contains(t, r.Results[1].Reason, "another program answers")
	must(t, app.ExitOK, srv, "check", "web", "--type", "http")
	out, _ := must(t, app.ExitCritical, srv, "check", "web", "--type", "http", "--path", "/x")
	require.Contains(t, out, "404 Not Found: no such page\n")
	must(t, app.ExitCritical, srv, "check", "web", "--type", "grpc")
}

func TestCheckOfNothingIsAsNodesAndServicesHaveIt(t *testing.T) {
	srv := etcdtest.Start(t)
	out, said := must(t, app.ExitNo, srv, "check", "nobody")
	require.Equal(t, "WARNING: 0 of 0 nodes answer (tcp)\n", out, "monitoring shows the first line")
	require.Equal(t, "no node of service \"nobody\" below /micro/registry/nobody/\n", said)
	out, said = must(t, app.ExitOK, srv, "check", "-o", "json")
	require.Contains(t, out, `"nodes": []`)
	require.Equal(t, "no service below /micro/registry/\n", said)
}

func TestCheckSaysThatItCouldNotBegin(t *testing.T) {
	srv := etcdtest.Start(t)
	srv.Stop()
	must(t, app.ExitFailed, srv, "check", "--timeout", "300ms")
	for want, args := range map[string][]string{
		`--type "udp" is not tcp, http, grpc, micro`: {"--type", "udp"},
		"--every 0s is not positive":                 {"--every", "0s"},
		"--node-timeout -1s is not positive":         {"--node-timeout", "-1s"},
		`--path "/%zz": invalid URL escape "%zz"`:    {"--type", "http", "--path", "/%zz"},
	} {
		_, said := must(t, app.ExitFailed, srv, append([]string{"check"}, args...)...)
		require.Equal(t, "micro-etcd: "+want+"\n", said)
	}
}

func TestAnInterruptedCheckHasNoVerdictAboutWhoWasNotAsked(t *testing.T) {
	for format, want := range map[string]string{
		"table": "UNKNOWN: 0 of 200 nodes answer (http), 199 not asked\n",
		"json":  `"not_asked": 199`,
	} {
		srv := etcdtest.Start(t)
		silent := listen(t, "127.0.0.1:0")
		putNode(t, srv, "greeter", "000", "")
		for i := range atOnce + 71 { // so that some are under way, and others are not
			putNode(t, srv, "greeter", fmt.Sprint(100+i), silent.address())
		}
		r := start(t, srv, nil, "check", "--type", "http", "--node-timeout", "10s", "-o", format)
		for range atOnce { // as many as are asked at a time, so the first one has been
			<-silent.met
		}
		require.Equal(t, app.ExitFailed, r.stop())
		require.Contains(t, r.out.String(), want)
		require.Contains(t, r.err.String(), "interrupted before all nodes were asked\n")
		if format == "table" {
			require.Equal(t, 199, strings.Count(r.out.String(), "\nnot asked  greeter"))
			require.Equal(t, 1, strings.Count(r.out.String(), "\nfailing    greeter"))
		}
		silent.close()
	}
}

func TestCheckEveryPrintsChangesAndEndsWithTheLastRound(t *testing.T) {
	srv := etcdtest.Start(t)
	a, b := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	putNode(t, srv, "greeter", "a", a.address())
	putNode(t, srv, "greeter", "b", b.address())
	r := start(t, srv, nil, "check", "greeter", "--every", "20ms")
	r.says("OK: 2 of 2 nodes answer")
	for range 5 {
		<-b.met // in rounds without a change
	}
	b.close()
	r.says("failing  greeter 1  b at " + b.address() + ": dial tcp ")
	a.close()
	r.says("CRITICAL: 0 of 2 nodes answer (tcp); services down: greeter\n")
	listen(t, b.address())
	r.says("ok       greeter 1  b at " + b.address() + "\n")
	_, err := srv.Client(t).Delete(t.Context(), etcd.DefaultPrefix+"greeter/b")
	require.NoError(t, err)
	r.says("gone     greeter 1  b at " + b.address() + "\n")
	require.Equal(t, app.ExitCritical, r.stop(), "of a, which doesn't answer")

	var lines []string
	for line := range strings.Lines(r.out.String()) {
		require.Regexp(t, `^\d\d:\d\d:\d\d  `, line)
		lines = append(lines, strings.Fields(line[len("00:00:00  "):])[0])
	}
	require.Equal(t, []string{
		"OK:", "WARNING:", "failing", "CRITICAL:", "failing", "WARNING:", "ok", "CRITICAL:", "gone",
	}, lines)
	require.Empty(t, r.err.String())
}

func TestCheckEveryEndsWithTheLastCompleteRound(t *testing.T) {
	srv := etcdtest.Start(t)
	var asked atomic.Int32
	hangs := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		switch asked.Add(1) {
		case 1:
		case 2:
			close(hangs)
			fallthrough
		default:
			<-r.Context().Done()
		}
	}))
	t.Cleanup(web.Close)
	putNode(t, srv, "greeter", "a", web.Listener.Addr().String())
	r := start(t, srv, nil, "check", "--type", "http", "--every", "20ms", "--node-timeout", "1m")
	<-hangs
	require.Equal(t, app.ExitOK, r.stop())
	require.Equal(t, 1, strings.Count(r.out.String(), "\n"), r.out.String())

	r = start(t, srv, nil, "check", "--type", "http", "--every", "20ms", "--node-timeout", "100ms", "-o", "json")
	r.says(`"failing":1`)
	require.Equal(t, app.ExitCritical, r.stop())
}

func TestAFirstRoundThatIsInterruptedHasNoVerdict(t *testing.T) {
	srv := etcdtest.Start(t)
	silent := listen(t, "127.0.0.1:0")
	putNode(t, srv, "greeter", "a", silent.address())
	r := start(t, srv, nil, "check", "--type", "http", "--every", "20ms", "--node-timeout", "1m", "-o", "json")
	<-silent.met
	require.Equal(t, app.ExitFailed, r.stop())
	require.Contains(t, r.out.String(), `"status":"unknown","all":1,"ok":0,"failing":0,"not_asked":1`)
}

func TestCheckEveryIsAStreamForPrograms(t *testing.T) {
	srv := etcdtest.Start(t)
	a := listen(t, "127.0.0.1:0")
	putNode(t, srv, "greeter", "a", a.address())
	lines := start(t, srv, nil, "check", "--every", "20ms", "-o", "json")
	documents := start(t, srv, nil, "check", "--every", "20ms", "-o", "yaml")
	lines.says(`"status":"ok"`)
	documents.says("status: ok")
	putNode(t, srv, "greeter", "b", "")
	lines.says(`"failing":1`)
	documents.says("failing: 1")
	require.Equal(t, app.ExitNo, lines.stop())
	require.Equal(t, app.ExitNo, documents.stop())

	var reports []checkReport
	for line := range strings.Lines(lines.out.String()) {
		var r checkReport
		require.NoError(t, json.Unmarshal([]byte(line), &r), line)
		reports = append(reports, r)
	}
	require.Len(t, reports, 2)
	require.Equal(t, 2, reports[1].All)
	require.Len(t, reports[1].Results, 1, "the one that is new")
	d := yaml.NewDecoder(strings.NewReader(documents.out.String()))
	n := 0
	for r := map[string]any{}; d.Decode(&r) == nil; n++ {
		require.NotEmpty(t, r["time"])
	}
	require.Equal(t, 2, n)
}

func TestCheckEveryOutlivesAnOutageOfEtcd(t *testing.T) {
	srv := etcdtest.Start(t)
	a := listen(t, "127.0.0.1:0")
	putNode(t, srv, "greeter", "a", a.address())
	r := start(t, srv, nil, "check", "--every", "20ms", "--timeout", "500ms")
	r.says("OK: 1 of 1 node answers")
	srv.Stop()
	r.says("can't read from etcd, so no nodes were checked: ")
	require.NoError(t, srv.Restart())
	a.close()
	r.says("CRITICAL: 0 of 1 node answers")
	require.Equal(t, app.ExitCritical, r.stop())
	require.Equal(t, 1, strings.Count(r.err.String(), "\n"), "said once: %s", r.err.String())
}

func TestCheckEveryOfAServiceThatGoes(t *testing.T) {
	srv := etcdtest.Start(t)
	putNode(t, srv, "greeter", "a", listen(t, "127.0.0.1:0").address())
	r := start(t, srv, nil, "check", "greeter", "--every", "20ms")
	r.says("OK: 1 of 1 node answers")
	_, err := srv.Client(t).Delete(t.Context(), etcd.DefaultPrefix+"greeter/a")
	require.NoError(t, err)
	r.says("WARNING: 0 of 0 nodes answer (tcp)\n")
	require.Equal(t, app.ExitNo, r.stop(), "as if it had begun now")
}

func TestCheckListsWhoIsOutOfServiceAndDoesNotDialThem(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	up := listen(t, "127.0.0.1:0")
	c := srv.Client(t)
	fleettest.Lasting(t, c, &registry.Service{Name: "greeter", Version: "1", Nodes: []*registry.Node{
		{Id: "80", Address: up.address()}, {Id: "81", Address: refused}, {Id: "82", Address: refused},
	}})
	since := time.Now().UTC().Truncate(time.Second)
	out := func(id string) {
		fleettest.PutNotice(t, c, id, catalog.Notice{By: "alice@ops", Since: since, Reason: "heap dump"})
	}
	out("81")
	r := start(t, srv, nil, "check", "--every", "20ms")
	r.says("WARNING: 1 of 2 nodes answer (tcp), 1 out of service\n")
	r.says("refused\n")
	r.says("out of service  greeter  1        81    " + refused)
	r.says("since " + app.Moment(since) + ", by alice@ops, not acknowledged by its process: heap dump\n")
	out("82")
	r.says("OK: 1 of 1 node answers (tcp), 2 out of service\n")
	r.says("out of service  greeter 1  82 at " + refused + ": since")
	out("80")
	r.says("CRITICAL: 0 of 0 nodes answer (tcp), 3 out of service; services down: greeter\n")
	require.Equal(t, app.ExitCritical, r.stop())
	require.NotContains(t, r.out.String(), "gone")

	report := checked(t, app.ExitCritical, srv, "greeter")
	require.Equal(t, [4]int{0, 0, 0, 3}, [4]int{report.All, report.OK, report.Failing, report.Out})
	require.Equal(t, "heap dump", report.Results[0].Out.Reason)
}

// The addresses come from whoever may write a record.
func TestCheckKeepsThePasswordToItself(t *testing.T) {
	srv := etcdtest.Start(t, cheapPasswords)
	silent := listen(t, "127.0.0.1:0")
	putNode(t, srv, "greeter", "mucp", silent.address())
	address, calls := curious(t)
	fleettest.Put(t, srv.Client(t), etcd.DefaultPrefix+"greeter/grpc", fleettest.Stored(t, &registry.Service{
		Name: "greeter", Version: "1",
		Nodes: []*registry.Node{{Id: "grpc", Address: address, Metadata: map[string]string{"protocol": "grpc"}}},
	}))
	auth.Enable(t, srv.Client(t), "hunter2")
	t.Setenv("ETCD_USERNAME", "root")
	t.Setenv("ETCD_PASSWORD", "hunter2")
	for _, kind := range []string{"tcp", "http", "grpc", "micro"} {
		r := start(t, srv, nil, "check", "--type", kind, "--node-timeout", "500ms")
		require.Contains(t, []int{app.ExitOK, app.ExitNo, app.ExitCritical}, r.wait(), r.err.String())
	}
	silent.close()
	got := silent.got.String()
	require.Contains(t, got, "GET /healthz HTTP/1.1", "http")
	require.Contains(t, got, "Debug.Health", "micro")
	for _, secret := range []string{"hunter2", "root", "uthorization"} {
		require.NotContains(t, got, secret)
	}
	for range 2 { // grpc and micro
		sent := slices.Collect(maps.Keys(<-calls))
		require.Subset(t, []string{":authority", "content-type", "grpc-accept-encoding", "user-agent"}, sent)
	}
}

// curious is the address of a gRPC server that looks at the metadata of each call.
func curious(tb testing.TB) (address string, calls <-chan metadata.MD) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	all := make(chan metadata.MD, 10)
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(stream.Context())
		all <- md
		return status.Error(codes.Unimplemented, "unknown service x")
	}))
	var running sync.WaitGroup
	running.Go(func() { _ = s.Serve(l) }) // until it is stopped
	tb.Cleanup(func() {
		s.Stop()
		running.Wait()
	})
	return l.Addr().String(), all
}

func TestCheckAsksManyNodesAtATimeButNotAll(t *testing.T) {
	srv := etcdtest.Start(t)
	silent := listen(t, "127.0.0.1:0")
	const nodes = 2*atOnce + 1
	for i := range nodes {
		putNode(t, srv, "greeter", fmt.Sprint(i), silent.address())
	}
	began := time.Now()
	must(t, app.ExitCritical, srv, "check", "--type", "http", "--node-timeout", "300ms")
	took := time.Since(began)
	require.GreaterOrEqual(t, took, 3*300*time.Millisecond, "in three lots")
	require.Less(t, took, nodes*300*time.Millisecond/2)
}
