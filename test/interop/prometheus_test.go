package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
)

// TestPrometheusFindsItsTargets runs Prometheus with the lines of the document.
func TestPrometheusFindsItsTargets(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	r := open(t, registry.Addrs(loopback(s.port)))
	one := nodesAt("go.micro.srv.greeter", "1", "10.0.0.1:8001", "10.0.0.2:8002")
	one.Nodes[0].Metadata = map[string]string{"metrics_port": "9100"}
	require.NoError(t, r.Register(one))
	require.NoError(t, r.Register(nodesAt("other", "1", "10.0.0.3:8003")))

	page := freePort(t)
	run(t, exec.CommandContext(context.Background(), binary(t, "micro-etcd"),
		"ui", "-a", loopback(s.port), "--listen", loopback(page)))
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "page.md"))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "    scrape_configs:\n")
	require.True(t, found)
	recipe, _, _ := strings.Cut("    scrape_configs:\n"+rest, "\n\n")
	require.Contains(t, recipe, "127.0.0.1:8379")
	recipe = strings.Replace(recipe, "127.0.0.1:8379", loopback(page), 1)
	recipe = strings.Replace(recipe, "          - url:", "          - refresh_interval: 1s\n            url:", 1) + "\n"

	dir, port := t.TempDir(), freePort(t)
	conf := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(conf, []byte(recipe), 0o600))
	run(t, exec.CommandContext(context.Background(), "prometheus", "--config.file="+conf,
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+loopback(port)))

	targets := func() (found []string) {
		response, err := get(t, fmt.Sprintf("http://%s/api/v1/targets?state=active", loopback(port)))
		if err != nil {
			return nil
		}
		defer func() { _ = response.Body.Close() }()
		var all struct {
			Data struct {
				ActiveTargets []struct {
					ScrapeURL string            `json:"scrapeUrl"`
					Labels    map[string]string `json:"labels"`
				} `json:"activeTargets"`
			} `json:"data"`
		}
		if json.NewDecoder(response.Body).Decode(&all) != nil {
			return nil
		}
		for _, a := range all.Data.ActiveTargets {
			found = append(found, fmt.Sprintf("%s %s", a.ScrapeURL, a.Labels["service"]))
		}
		slices.Sort(found)
		return found
	}
	await := func(want ...string) {
		t.Helper()
		eventually(t, func() bool { return slices.Equal(targets(), want) }, "Prometheus has %v", want)
	}
	await("http://10.0.0.1:9100/metrics go.micro.srv.greeter", "http://10.0.0.2:8002/metrics go.micro.srv.greeter")
	require.NoError(t, r.Deregister(nodesAt("go.micro.srv.greeter", "1", "10.0.0.2:8002")))
	await("http://10.0.0.1:9100/metrics go.micro.srv.greeter")
	s.kill()
	await("http://10.0.0.1:9100/metrics go.micro.srv.greeter")
}
