package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/etcdtest"
)

func TestUIServesUntilItIsInterrupted(t *testing.T) {
	r := start(t, etcdtest.Start(t), nil, "ui", "--listen", "127.0.0.1:0")
	r.says("/\n")
	answer, err := http.Get(strings.TrimSpace(r.out.String()))
	require.NoError(t, err)
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	require.Contains(t, string(body), "<title>micro-etcd</title>")
	require.Empty(t, r.err.String(), "no warning on loopback")
	require.Equal(t, app.ExitOK, r.stop())
}

func TestUISaysThatEtcdIsDownAndGoesOnWhenItIsUp(t *testing.T) {
	srv := etcdtest.Start(t)
	fleettest.Put(t, srv.Client(t), legacyKey, "junk")
	srv.Stop()
	r := start(t, srv, nil, "ui", "--listen", "127.0.0.1:0", "--timeout", "300ms")
	r.says("/\n")
	answer, err := http.Get(strings.TrimSpace(r.out.String()) + "api/stream")
	require.NoError(t, err)
	defer http.DefaultClient.CloseIdleConnections()
	defer answer.Body.Close()
	in := bufio.NewScanner(answer.Body)
	in.Buffer(nil, 1<<20)
	await := func(text string) {
		for in.Scan() {
			if strings.Contains(in.Text(), text) {
				return
			}
		}
		require.FailNow(t, "the stream ended", "%v", in.Err())
	}
	await("connection refused")
	r.says("Trying again.")
	require.Contains(t, r.err.String(), "connection refused")
	require.NoError(t, srv.Restart())
	await(`"name":"legacy"`)
	require.Equal(t, app.ExitOK, r.stop())
	require.Equal(t, 1, strings.Count(r.err.String(), "Trying again."))
}

func TestUISaysThatItMayNotRead(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t, cheapPasswords)
	withRoles(t, srv)
	for user, want := range map[string]string{"consumer": "permission denied", "stranger": "authentication failed"} {
		r := start(t, srv, nil, "ui", "--listen", "127.0.0.1:0", "--user", user, "--password-file", passwordFile(t))
		r.says("Trying again.")
		time.Sleep(1200 * time.Millisecond) // at least one more attempt
		require.Equal(t, app.ExitOK, r.stop())
		require.Contains(t, r.err.String(), want)
		require.Equal(t, 1, strings.Count(r.err.String(), "\n"), r.err.String())
	}
}

func TestUIPrintsAnAddressToClickOn(t *testing.T) {
	v4, v6 := net.IPv4(10, 0, 0, 1), net.IPv6loopback
	for listen, c := range map[string]struct {
		at   net.IP
		want string
	}{
		"127.0.0.1:0":   {net.IPv4(127, 0, 0, 1), "http://127.0.0.1:8392/"},
		"localhost:0":   {net.IPv4(127, 0, 0, 1), "http://localhost:8392/"},
		"[::1]:0":       {v6, "http://[::1]:8392/"},
		"box.lan:http":  {v4, "http://box.lan:8392/"},
		"0.0.0.0:8392":  {net.IPv6unspecified, "http://127.0.0.1:8392/"},
		"[::]:8392":     {net.IPv6unspecified, "http://127.0.0.1:8392/"},
		":8392":         {net.IPv6unspecified, "http://127.0.0.1:8392/"},
		"0.0.0.0.:8392": {net.IPv4zero, "http://127.0.0.1:8392/"},
	} {
		require.Equal(t, c.want, localURL(listen, &net.TCPAddr{IP: c.at, Port: 8392}), listen)
	}
}

func TestUIThatListensEverywhereSaysSo(t *testing.T) {
	r := start(t, etcdtest.Start(t), nil, "ui", "--listen", "0.0.0.0:0")
	r.says("no authentication")
	require.Contains(t, r.err.String(), "every address of this machine")
	answer, err := http.Get(strings.TrimSpace(r.out.String()))
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Equal(t, app.ExitOK, r.stop())
}

func TestADemoRefusesWhatItWouldIgnore(t *testing.T) {
	for name, value := range map[string]string{
		"registry_address": "h:1", "registry-address": "h:1", "prefix": "/x", "user": "u", "username": "u",
		"password-file": "f",
		"cacert":        "f", "cert": "f", "key": "f", "secure": "true",
	} {
		_, said := must(t, app.ExitFailed, nil, "ui", "--demo", "--"+name+"="+value)
		require.Contains(
			t, said, "doesn't go with --"+strings.NewReplacer("-address", "_address", "username", "user").Replace(name),
		)
	}
	_, said := must(t, app.ExitFailed, nil, "ui", "--demo", "-a", "h:1", "--prefix", "/x")
	require.Contains(t, said, "doesn't go with --prefix, --registry_address\n")
	_, said = must(t, app.ExitFailed, nil, "ui", "--demo", "--timeout", "9s", "--listen", "nonsense")
	require.NotContains(t, said, "--timeout", "the demo's etcd is asked within it, too")
}

func TestUINamesAnAddressThatItCantHave(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, address := range []string{taken.Addr().String(), "nonsense", "127.0.0.1:99999"} {
		r := start(t, nil, nil, "ui", "--listen", address)
		require.Equal(t, app.ExitFailed, r.wait())
		require.Contains(t, r.err.String(), "--listen")
		require.Contains(t, r.err.String(), address)
	}
}

func TestUIShowsEveryDatacenterAlthoughOneIsAway(t *testing.T) {
	_, us1, dcs := twoDatacenters(t)
	us1.Stop()
	r := start(t, nil, nil, append(dcs, "ui", "--listen", "127.0.0.1:0", "--timeout", "300ms")...)
	r.says("/\n")
	base := strings.TrimSpace(r.out.String())
	defer http.DefaultClient.CloseIdleConnections()
	says := func(path string, code int, text string) {
		t.Helper()
		var got int
		var body []byte
		require.Eventually(t, func() bool {
			answer, err := http.Get(base + path)
			if err != nil {
				return false
			}
			defer answer.Body.Close()
			got = answer.StatusCode
			body, _ = io.ReadAll(answer.Body)
			return got == code && strings.Contains(string(body), text)
		}, patience, 5*time.Millisecond, "%s: %s", path, text)
	}
	r.says("data center us1: ")
	r.says("Trying again.")
	says("sd", http.StatusServiceUnavailable, "data center us1: ")
	says("sd?dc=eu1", http.StatusOK, `"__meta_micro_datacenter":"eu1"`)
	says("api/service?name=greeter", http.StatusOK, `"version":"1"`)
	says("healthz", http.StatusOK, "data center us1: the records couldn't be read yet")
	says("?dc=us2", http.StatusNotFound, `there is no data center "us2": known are eu1, us1`)

	require.NoError(t, us1.Restart())
	says("healthz", http.StatusOK, "ok\n")
	says("sd", http.StatusOK, `"__meta_micro_datacenter":"us1"`)
	says("api/service?name=greeter&dc=us1", http.StatusOK, `"version":"2"`)
	require.Equal(t, app.ExitOK, r.stop())
	require.Equal(t, 1, strings.Count(r.err.String(), "Trying again."), r.err.String())
}

func TestUINamesTheDatacenterWhoseFlagsAreWrong(t *testing.T) {
	_, said := must(t, app.ExitFailed, nil,
		"--dc", "eu1=127.0.0.1:1", "--dc", "us1=ftp://b:1", "ui", "--listen", "127.0.0.1:0")
	require.Contains(t, said, "data center us1: invalid address")
}
