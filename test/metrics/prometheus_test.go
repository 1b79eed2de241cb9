package metrics

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// scraped returns the names that Prometheus has for the metrics, and its names of their labels.
func scraped(t *testing.T) map[string][]string {
	t.Helper()
	prom := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(prom))
	require.NoError(t, err)
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	r := open(t, newServer(t), etcd.MeterProvider(provider))
	register(t, r, "a")
	_, err = r.GetService("greeter", etcd.Linearizable())
	require.NoError(t, err)
	fail(t, provider)
	families, err := prom.Gather()
	require.NoError(t, err)
	found := make(map[string][]string)
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "etcd_registry_") {
			continue
		}
		labels := []string{"job", "instance"}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
			}
		}
		if f.GetType().String() != "HISTOGRAM" {
			found[f.GetName()] = labels
			continue
		}
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			found[f.GetName()+part] = append(slices.Clone(labels), "le")
		}
	}
	return found
}

var (
	asked    = regexp.MustCompile(`etcd_registry_\w+`)
	matchers = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"`)
	grouping = regexp.MustCompile(`by\s*\(([^)]*)\)`)
)

// checkQuery wants a query to ask for metrics, labels and values that there are.
func checkQuery(t *testing.T, query string, have map[string][]string) (names []string) {
	t.Helper()
	names = asked.FindAllString(query, -1)
	assert.NotEmpty(t, names, query)
	for _, name := range names {
		labels, ok := have[name]
		if !assert.True(t, ok, "Prometheus has no %s, which is asked for in %s", name, query) {
			continue
		}
		for _, by := range grouping.FindAllStringSubmatch(query, -1) {
			for _, label := range strings.Split(by[1], ",") {
				assert.Contains(t, labels, strings.TrimSpace(label), query)
			}
		}
		for _, m := range matchers.FindAllStringSubmatch(query, -1) {
			assert.Contains(t, labels, m[1], query)
			if m[2] == "" || strings.HasPrefix(m[2], "$") {
				continue
			}
			assert.Contains(t, fmt.Sprint(page(t).values), m[2], "a value of %s in %s", m[1], query)
		}
	}
	return names
}

func TestTheDashboardAsksForMetricsThatThereAre(t *testing.T) {
	var dashboard struct {
		Title      string
		Panels     []panel
		Templating struct {
			List []struct{ Name, Type string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(read(t, docs+"grafana-dashboard.json")), &dashboard))
	require.NotEmpty(t, dashboard.Title)
	require.Equal(t, "datasource", dashboard.Templating.List[0].Type)
	have := scraped(t)
	shown := make(map[string]bool)
	ids := make(map[int]bool)
	for _, p := range dashboard.Panels {
		require.False(t, ids[p.ID], "two panels have the id %d", p.ID)
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		require.NotEmpty(t, p.Description, p.Title)
		require.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		for _, target := range p.Targets {
			for _, name := range checkQuery(t, target.Expr, have) {
				shown[name] = true
			}
		}
	}
	for name := range have {
		if strings.HasSuffix(name, "_sum") || strings.HasSuffix(name, "_seconds_count") {
			continue
		}
		assert.True(t, shown[name], "no panel shows %s", name)
	}
}

type panel struct {
	ID                       int
	Title, Type, Description string
	Datasource               struct{ UID string }
	Targets                  []struct{ Expr string }
}

func TestTheAlertsAskForMetricsThatThereAre(t *testing.T) {
	_, rules, found := strings.Cut(read(t, docs+"metrics.md"), "\n```yaml\n")
	require.True(t, found)
	rules, _, _ = strings.Cut(rules, "\n```\n")
	have := scraped(t)
	alerts := strings.Split(rules, "- alert: ")[1:]
	require.NotEmpty(t, alerts)
	for _, alert := range alerts {
		_, query, found := strings.Cut(alert, "expr: ")
		require.True(t, found, alert)
		query, _, _ = strings.Cut(query, "#")
		checkQuery(t, query, have)
	}
}

// wiring is compiled with all that is here; the page shows it.
func TestThePageShowsAProgramThatCompiles(t *testing.T) {
	_, program, _ := strings.Cut(read(t, "wiring/main.go"), "\n")
	require.Contains(t, read(t, docs+"metrics.md"), "```go\n"+program+"```\n")
}
