package page

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/test/auth"
)

const patience = 30 * time.Second

// serve serves the page of an etcd for the length of the test.
func serve(t *testing.T, srv *etcdtest.Server) (base string) {
	t.Helper()
	return serveAll(t, in(t, "", srv))
}

// in is an etcd in a data center.
func in(t *testing.T, name string, srv *etcdtest.Server) Datacenter {
	t.Helper()
	client := srv.Client(t)
	return Datacenter{Name: name, Connect: func(context.Context) (*clientv3.Client, error) { return client, nil }}
}

func serveAll(t *testing.T, datacenters ...Datacenter) (base string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() {
		result <- Serve(ctx, Config{Datacenters: datacenters, Listener: listener, Listen: "127.0.0.1:0"})
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-result)
		http.DefaultClient.CloseIdleConnections()
	})
	return "http://" + listener.Addr().String()
}

// watch is a browser's connection.
type watch struct {
	mirror
	t  *testing.T
	in *bufio.Reader
}

func open(t *testing.T, base string) *watch {
	t.Helper()
	return openIn(t, base, "")
}

// openIn is open for the data center that a query names.
func openIn(t *testing.T, base, query string) *watch {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/stream"+query, nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = answer.Body.Close() })
	require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	return &watch{t: t, in: bufio.NewReader(answer.Body)}
}

// until reads until what is known is as wanted.
func (w *watch) until(what string, wanted func() bool) {
	w.t.Helper()
	for w.snapshots == 0 || !wanted() {
		var f frame
		for !strings.HasSuffix(string(f), "\n\n") {
			line, err := w.in.ReadBytes('\n')
			require.NoError(w.t, err, "waiting until %s", what)
			f = append(f, line...)
		}
		w.apply(w.t, f)
	}
}

func get(t *testing.T, url string, into any) (status int) {
	t.Helper()
	answer, err := http.Get(url)
	require.NoError(t, err)
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	if into != nil {
		require.Equal(t, http.StatusOK, answer.StatusCode, "%s", data)
		require.NoError(t, json.Unmarshal(data, into), "%s", data)
	}
	return answer.StatusCode
}

const stored = `{"name":"greeter","version":"1.0","metadata":null,"nodes":[{"id":"a","address":"10.0.0.1:80","metadata":{"zone":"east"}}],` +
	`"endpoints":[{"name":"Greeter.Hello","request":{"type":"Request","values":[{"name":"name","type":"string"}]},"response":null}]}`

func TestTheStreamTellsOfEtcd(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	base := serve(t, srv)
	w := open(t, base)
	w.until("etcd is healthy", func() bool {
		return w.health.Connected && len(w.health.Members) == 1 && w.health.Members[0].Leader
	})

	_, err := client.Put(t.Context(), prefix+"greeter/a", stored)
	require.NoError(t, err)
	w.until("the service appears", func() bool { return w.services["greeter"].Nodes == 1 })
	_, err = client.Delete(t.Context(), prefix+"greeter/a")
	require.NoError(t, err)
	w.until("it goes", func() bool { _, there := w.services["greeter"]; return !there })
	require.Equal(t, 1, w.snapshots)

	srv.Stop()
	w.until("etcd is lost", func() bool { return !w.health.Connected && w.health.Error != "" })
	late := open(t, base)
	late.until("who comes now is told, too", func() bool { return !late.health.Connected })
	require.NoError(t, srv.Restart())
	w.until("etcd is back", func() bool { return w.health.Connected && w.health.Error == "" && w.health.Leader != "" })
}

func TestAnOpenedServiceTellsItsNodes(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	lease, err := client.Grant(t.Context(), 60)
	require.NoError(t, err)
	_, err = client.Put(t.Context(), prefix+"greeter/a", stored, clientv3.WithLease(lease.ID))
	require.NoError(t, err)
	base := serve(t, srv)
	w := open(t, base)
	w.until("the service is known", func() bool { return w.services["greeter"].Nodes == 1 })

	var d detail
	get(t, base+"/api/service?name=greeter", &d)
	require.Equal(t, 1, d.Total)
	n := d.Nodes[0]
	require.Equal(t, "10.0.0.1:80", n.Address)
	require.Equal(t, [][2]string{{"zone", "east"}}, n.Metadata)
	require.True(t, n.Before)
	require.EqualValues(t, 60_000, n.Granted)
	require.InDelta(t, 60_000, *n.Left, 40_000)
	require.Equal(t, []endpoint{{Name: "Greeter.Hello", Request: "Request {\n  name string\n}"}}, d.Versions[0].Endpoints)

	var found map[string]int
	get(t, base+"/api/search?find=ZONE%3Deast", &found)
	require.Equal(t, map[string]int{"greeter": 1}, found)
	get(t, base+"/api/service?name=nobody", &d)
	require.Zero(t, d.Total)
	require.Equal(t, http.StatusBadRequest, get(t, base+"/api/service?name=greeter&offset=-1", nil))
}

func TestARefusalIsToldApartFromALoss(t *testing.T) {
	srv := etcdtest.Start(t, func(c *embed.Config) { c.BcryptCost = 4 })
	auth.Enable(t, srv.Client(t), "pw")
	w := open(t, serve(t, srv))
	w.until("etcd refuses", func() bool { return w.health.Refused })
	require.False(t, w.health.Read)
	require.Contains(t, w.health.Error, "give --user")
	srv.Stop()
	w.until("etcd is lost", func() bool { return !w.health.Refused && w.health.Error != "" })
}

func TestARefusalAfterALossIsTold(t *testing.T) {
	srv := etcdtest.Start(t, func(c *embed.Config) { c.BcryptCost = 4 })
	w := open(t, serve(t, srv))
	w.until("all was read", func() bool { return w.health.Read && w.health.Connected })
	srv.Stop()
	w.until("etcd is lost", func() bool { return !w.health.Connected })
	require.False(t, w.health.Refused)
	require.NoError(t, srv.Restart())
	w.until("etcd is back", func() bool { return w.health.Connected })
	auth.Enable(t, srv.Client(t), "pw")
	srv.Stop()
	require.NoError(t, srv.Restart())
	w.until("etcd refuses", func() bool { return !w.health.Connected && w.health.Refused && w.health.Read })
}

// byHand starts an etcd as who gives it no peer URL: its ids are those of all that are started like that.
func byHand(c *embed.Config) {
	peer := url.URL{Scheme: "http", Host: "localhost:2380"}
	c.Name, c.InitialCluster, c.AdvertisePeerUrls = "default", "default="+peer.String(), []url.URL{peer}
}

func TestEtcdsThatShareAMemberIDAreNamed(t *testing.T) {
	one, two := etcdtest.Start(t, byHand), etcdtest.Start(t, byHand)
	client := one.Client(t)
	client.SetEndpoints(one.Endpoint(), two.Endpoint())
	c := &checkup{source: fleet.Source{Client: client, Prefix: prefix}}
	ahead := func() {
		_, err := two.Client(t).Put(t.Context(), "x", "")
		require.NoError(t, err)
	}
	for what, before := range map[string]func(){"one is ahead": ahead, "level again, and idle": func() {}} {
		var h health
		for range 6 {
			before()
			if h, _ = c.health(t.Context()); h.Conflict != "" {
				break
			}
		}
		require.Contains(t, h.Conflict, one.Endpoint(), what)
		require.Contains(t, h.Conflict, two.Endpoint(), what)
	}
}

func TestOneEtcdAtTwoAddressesIsNoConflict(t *testing.T) {
	var dir string
	srv := etcdtest.Start(t, func(c *embed.Config) { dir = c.Dir })
	client := srv.Client(t)
	_, port, err := net.SplitHostPort(srv.Endpoint())
	require.NoError(t, err)
	client.SetEndpoints(srv.Endpoint(), "localhost:"+port)
	c := &checkup{source: fleet.Source{Client: client, Prefix: prefix}}
	check := func(times int) {
		for range times {
			h, _ := c.health(t.Context())
			require.Empty(t, h.Conflict)
			require.Empty(t, h.Error)
		}
	}
	check(6)
	srv.Stop()
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, srv.Restart())
	check(6)
}

func TestRecordsOnALeaseThatDoesNotExistAreAProblem(t *testing.T) {
	h := newHub(newView(prefix))
	node := func(id string) *fleet.Record { return record("greeter", "1", id, nil) }
	orphan, well, other := node("a"), node("b"), node("c")
	orphan.Lease, well.Lease, other.Lease = 7, 8, 0
	for _, r := range []*fleet.Record{orphan, well, other} {
		h.view.apply(appeared(r))
	}
	h.view.apply(fleet.Event{Kind: fleet.Connected})
	var m mirror
	look := func() summary {
		b, err := h.join()
		require.NoError(t, err)
		defer h.leave(b)
		f, err := h.snapshot(b)
		require.NoError(t, err)
		m.apply(t, f)
		return m.services["greeter"]
	}
	there := map[clientv3.LeaseID]bool{8: true}
	h.view.compare(there)
	require.Zero(t, look().Orphaned, "it may be about to go")
	h.view.compare(there)
	require.Equal(t, 1, look().Orphaned)
	h.view.apply(appeared(orphan))
	require.Zero(t, look().Orphaned, "it was written again")
	h.view.compare(there)
	require.Equal(t, 1, look().Orphaned)
	h.view.compare(nil)
	require.Zero(t, look().Orphaned, "leases may no longer be listed")
	for range 2 {
		h.view.compare(there)
	}
	require.Equal(t, 1, look().Orphaned)
	h.view.apply(fleet.Event{Kind: fleet.Disconnected, Err: errFull})
	h.view.compare(there)
	require.Zero(t, look().Orphaned, "the records may be out of date")
}

func TestALeaseIsAskedForOnceInAWhile(t *testing.T) {
	srv := etcdtest.Start(t)
	client := srv.Client(t)
	lease, err := client.Grant(t.Context(), 60)
	require.NoError(t, err)
	asked := newTTLs(fleet.Source{Client: client})
	ids := []clientv3.LeaseID{lease.ID, 0, 12345}

	first := asked.of(t.Context(), ids)
	require.Len(t, first, 2)
	require.Equal(t, time.Minute, first[lease.ID].lease.Granted)
	require.Zero(t, first[12345].lease, "there is none")
	srv.Stop()
	require.Equal(t, first, asked.of(t.Context(), ids), "answered from what is known")
	require.NotContains(t, asked.of(t.Context(), []clientv3.LeaseID{1}), clientv3.LeaseID(1), "no answer in time")
}

func TestNodesAreSearchedAndPaged(t *testing.T) {
	v := newView(prefix)
	for i := range 3 * nodesPerPage {
		zone := []string{"east", "west"}[i%2]
		v.apply(appeared(record("greeter", "1.0", "n"+strings.Repeat("x", i%5)+string(rune('a'+i%26))+
			time.Duration(i).String(), map[string]string{"zone": zone})))
	}
	require.Equal(t, map[string]int{"greeter": 150}, v.search("zone=west"))
	require.Empty(t, v.search(""))

	d, shown := v.detail("greeter", "", nodesPerPage)
	require.Equal(t, 3*nodesPerPage, d.Total)
	require.Len(t, shown, nodesPerPage)
	d, _ = v.detail("greeter", "zone=west", nodesPerPage)
	require.Equal(t, 150, d.Matching)
	require.Len(t, d.Nodes, 50)
	d, _ = v.detail("greeter", "", 1<<30)
	require.Empty(t, d.Nodes)
	require.Equal(t, 3*nodesPerPage, d.Versions[0].Nodes)
}

func TestRequestsThatAPageDoesntNeedAreRefused(t *testing.T) {
	srv := etcdtest.Start(t)
	base := serve(t, srv)
	address := strings.TrimPrefix(base, "http://")
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)

	ask := func(method, path, host string) (status int, header http.Header) {
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
		require.NoError(t, err)
		req.Host = host
		answer, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer answer.Body.Close()
		return answer.StatusCode, answer.Header
	}
	status := func(method, path, host string) int {
		status, _ := ask(method, path, host)
		return status
	}
	for _, host := range []string{address, "localhost:" + port, "LOCALHOST:9000", "[::1]:80", "127.0.0.1"} {
		require.Equal(t, http.StatusOK, status(http.MethodGet, "/", host), host)
	}
	for _, host := range []string{
		"evil.example", "evil.example:" + port, "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil.example",
	} {
		for _, path := range []string{"/", "/api/stream", "/api/service?name=x"} {
			require.Equal(t, http.StatusMisdirectedRequest, status(http.MethodGet, path, host), host)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		require.Equal(t, http.StatusMethodNotAllowed, status(method, "/", address), method)
	}
	require.Equal(t, http.StatusNotFound, status(http.MethodGet, "/../page.go", address))
	_, header := ask(http.MethodHead, "/", address)
	require.Equal(t, policy, header.Get("Content-Security-Policy"))
	require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
	require.Equal(t, "no-referrer", header.Get("Referrer-Policy"))
}

func TestOnlyLoopbackIsLocal(t *testing.T) {
	for address, local := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "0.0.0.0": false, "::": false, "10.0.0.1": false,
	} {
		require.Equal(t, local, Local(&net.TCPAddr{IP: net.ParseIP(address)}), address)
	}
	require.True(t, Local(&net.UnixAddr{}))
}

func TestEveryHostIsAnsweredBeyondLoopback(t *testing.T) {
	handler := guard(http.NotFoundHandler(), false, "")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://registry.example/", nil))
	require.Equal(t, http.StatusNotFound, w.Code)
}

// The page must hold nothing that turns text into markup, and nothing from elsewhere.
func TestAssetsAreOursAndTreatDataAsText(t *testing.T) {
	assets, err := loadAssets()
	require.NoError(t, err)
	require.Contains(t, assets, "/")
	require.Contains(t, assets, "/main.js")
	for name, file := range assets {
		require.NotEmpty(t, file.kind, name)
		for _, word := range []string{
			"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function",
			"createContextualFragment", "DOMParser", "style=\"", "onclick",
		} {
			require.NotContains(t, string(file.data), word, name)
		}
		text := strings.ReplaceAll(string(file.data), "http://www.w3.org/2000/svg", "")
		text = strings.ReplaceAll(text, "https://www.w3.org/WAI/ARIA/apg/patterns/tabs/", "")
		require.NotContains(t, text, "://", name)
	}
}
