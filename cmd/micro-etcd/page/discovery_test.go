package page

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/etcdtest"
)

// fetch returns what a path answers, as text.
func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	answer, err := http.Get(url)
	require.NoError(t, err)
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(data)
}

func TestPrometheusFindsNodesInService(t *testing.T) {
	srv := etcdtest.Start(t)
	base := serve(t, srv)
	require.Eventually(t, func() bool { code, _ := fetch(t, base+"/healthz"); return code == http.StatusOK },
		patience, 5*time.Millisecond)
	code, body := fetch(t, base+"/sd")
	require.Equal(t, []any{http.StatusOK, "[]"}, []any{code, body})

	c := srv.Client(t)
	for key, value := range map[string]string{
		"greeter/1": `{"name":"greeter","version":"1","nodes":[{"id":"1","address":"10.0.0.1:80","metadata":{"zone":"a","a-b":"x","a_b":"y"}}]}`,
		"greeter/2": `{"name":"greeter","version":"2","nodes":[{"id":"2","address":"http://[2001:db8::1]:81"}]}`,
		"greeter/3": `{"name":"greeter","version":"2","nodes":[{"id":"3","address":"unix:/run/x"}]}`,
		"greeter/4": `junk`,
		"greeter/7": `{"name":"greeter","version":"2","nodes":[{"id":"7","address":":80"}]}`,
		"greeter/8": `{"name":"greeter","version":"2","nodes":[{"id":"8","address":"10.0.0.8:http"}]}`,
		"greeter/9": `{"name":"greeter","version":"2","nodes":[{"id":"9","address":"0.0.0.0:80"}]}`,
		"mail/5":    `{"name":"mail","version":"","nodes":[{"id":"5","address":"db.example.org:25","metadata":{"zone":"a"}}]}`,
		"mail/.out-of-service/6": `{"by":"alice","since":"2026-01-02T03:04:05Z",` +
			`"record":{"name":"mail","version":"","nodes":[{"id":"6","address":"10.0.0.6:25"}]}}`,
	} {
		_, err := c.Put(t.Context(), "/micro/registry/"+key, value)
		require.NoError(t, err)
	}
	one := target{[]string{"10.0.0.1:80"}, map[string]string{
		"__meta_micro_service": "greeter", "__meta_micro_version": "1", "__meta_micro_node": "1",
		"__meta_micro_metadata_zone": "a", "__meta_micro_metadata_a_b": "x",
	}}
	two := target{[]string{"[2001:db8::1]:81"}, map[string]string{
		"__meta_micro_service": "greeter", "__meta_micro_version": "2", "__meta_micro_node": "2",
	}}
	five := target{[]string{"db.example.org:25"}, map[string]string{
		"__meta_micro_service": "mail", "__meta_micro_version": "", "__meta_micro_node": "5",
		"__meta_micro_metadata_zone": "a",
	}}
	for query, want := range map[string][]target{
		"":                          {one, two, five},
		"?service=greeter":          {one, two},
		"?service=greeter&version=": {},
		"?version=&version=2":       {two, five},
		"?label=zone%3Da":           {one, five},
		"?label=zone%3Da&label=a-b%3Dx&service=greeter&service=mail": {one},
		"?service=unknown": {},
	} {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			var got []target
			get(t, base+"/sd"+query, &got)
			require.Equal(c, want, got, query)
		}, patience, 5*time.Millisecond)
	}
	for query, want := range map[string]string{
		"?label=zone":              `label "zone" is not key=value`,
		"?service=greeter%zz":      `invalid URL escape "%zz"`,
		"?label=a%3D1&label=a%3D2": `label "a=2" contradicts "a=1"`,
		"?name=mail":               `there is no parameter "name"`,
	} {
		code, body = fetch(t, base+"/sd"+query)
		require.Equal(t, http.StatusBadRequest, code)
		require.Contains(t, body, want)
	}
	_, body = fetch(t, base+"/metrics")
	for _, want := range []string{
		"micro_etcd_ui_services 2\n", "micro_etcd_ui_nodes 7\n", "micro_etcd_ui_stale_seconds 0\n",
		"micro_etcd_ui_browsers 0\n",
	} {
		require.Contains(t, body, want)
	}

	srv.Stop()
	require.Eventually(t, func() bool {
		code, body = fetch(t, base+"/healthz")
		return code == http.StatusOK && body != "ok\n"
	}, patience, 5*time.Millisecond)
	require.Contains(t, body, "stale: etcd can't be followed for ")
	var got []target
	require.Equal(t, http.StatusOK, get(t, base+"/sd", &got))
	require.Len(t, got, 3)
}

// TestPrometheusKeepsItsTargetsAfterAWipe: it does when it gets no list.
func TestPrometheusKeepsItsTargetsAfterAWipe(t *testing.T) {
	all := newPages([]Datacenter{{Name: "eu1"}, {Name: "us1"}})
	all[0].view.apply(fleet.Event{Kind: fleet.Connected})
	v, discover := all[1].view, all.discover()
	v.apply(fleet.Event{Kind: fleet.Connected})
	ask := func() int {
		answer := httptest.NewRecorder()
		discover(answer, httptest.NewRequest(http.MethodGet, "/sd", http.NoBody))
		return answer.Code
	}
	require.Equal(t, http.StatusOK, ask())
	v.apply(fleet.Event{Kind: fleet.Disconnected})
	require.Equal(t, http.StatusOK, ask())
	v.apply(fleet.Event{Kind: fleet.Connected, Rewritten: true})
	require.Equal(t, http.StatusServiceUnavailable, ask(), "which counts for the list of all")
	v.link.settled = time.Now()
	require.Equal(t, http.StatusOK, ask())
}
