package metrics

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

const docs = "../../docs/"

func read(tb testing.TB, file string) string {
	tb.Helper()
	text, err := os.ReadFile(file)
	require.NoError(tb, err)
	return string(text)
}

// documented is what docs/metrics.md says of the metrics.
type documented struct {
	metrics map[string]entry
	values  map[string][]string // what an attribute may say, by "attribute of metric"
}

type entry struct {
	kind, unit string
	labels     []string
}

var (
	code    = regexp.MustCompile("`([^`]+)`")
	heading = regexp.MustCompile("(?m)^### `([^`]+)` of (.*)$")
)

// page reads docs/metrics.md once.
func page(tb testing.TB) *documented {
	tb.Helper()
	d, err := parsed()
	require.NoError(tb, err)
	return d
}

var parsed = sync.OnceValues(func() (*documented, error) {
	text, err := os.ReadFile(docs + "metrics.md")
	if err != nil {
		return nil, err
	}
	d := &documented{metrics: make(map[string]entry), values: make(map[string][]string)}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) == 7 && strings.Contains(cells[1], "`"+ns) {
			name := codes(cells[1])[0]
			d.metrics[name] = entry{strings.TrimSpace(cells[2]), codes(cells[3])[0], codes(cells[4])}
		}
	}
	for _, at := range heading.FindAllStringSubmatchIndex(string(text), -1) {
		label, metrics := string(text[at[2]:at[3]]), codes(string(text[at[4]:at[5]]))
		section, _, _ := strings.Cut(string(text[at[1]:]), "\n#")
		for line := range strings.Lines(section) {
			if cells := strings.Split(line, "|"); len(cells) > 2 {
				for _, metric := range metrics {
					d.values[label+" of "+metric] = append(d.values[label+" of "+metric], codes(cells[1])...)
				}
			}
		}
	}
	return d, nil
})

// codes returns what stands between backquotes.
func codes(text string) []string {
	var all []string
	for _, m := range code.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// check compares what was collected with the page.
func (d *documented) check(tb testing.TB, found map[string]series) {
	tb.Helper()
	for name, s := range found {
		want, ok := d.metrics[name]
		if !assert.True(tb, ok, "docs/metrics.md doesn't list %s", name) {
			continue
		}
		assert.Equal(tb, want.kind, s.kind, name)
		assert.Equal(tb, want.unit, s.Unit, name)
		assert.Regexp(tb, `^[A-Z].*\.$`, s.Description, "the description of %s", name)
		for _, p := range s.points {
			for _, label := range p.labels.ToSlice() {
				key := string(label.Key)
				assert.Contains(tb, want.labels, key, "an attribute of %s", name)
				assert.Contains(tb, d.values[key+" of "+name], label.Value.AsString(), "%s of %s", key, name)
			}
		}
	}
}

// What a registry has is what the page lists, with every value that is there from the start.
func TestThePageListsEveryMetric(t *testing.T) {
	srv, d := newServer(t), page(t)
	r, m := measured(t, srv)
	register(t, r, "a")
	found := m.collect()
	var have, want []string
	for name := range found {
		have = append(have, name)
	}
	for name, e := range d.metrics {
		want = append(want, name)
		for _, label := range e.labels {
			assert.NotEmpty(t, d.values[label+" of "+name], "the page has no values for %s of %s", label, name)
		}
	}
	assert.ElementsMatch(t, want, have)
	for of, values := range d.values {
		label, name, _ := strings.Cut(of, " of ")
		e, ok := d.metrics[name]
		require.True(t, ok, "the page explains an attribute of %s, which it doesn't list", name)
		require.Contains(t, e.labels, label)
		if label == "rpc.method" || label == "error.type" {
			continue // these come when they happen
		}
		var shown []string
		for _, p := range found[name].points {
			v, _ := p.labels.Value(attributeKey(label))
			shown = append(shown, v.AsString())
		}
		assert.ElementsMatch(t, values, shown, of)
	}
}

// Adding up the points of a metric must make sense: a sum's do, so they need no attribute that tells processes apart.
func TestNothingIdentifiesANode(t *testing.T) {
	srv := newServer(t)
	r, m := measured(t, srv)
	register(t, r, "node-17")
	require.Equal(t, 1, look(t, r))
	for name, s := range m.collect() {
		for _, p := range s.points {
			text := p.labels.Encoded(encoder)
			for _, secret := range []string{"node-17", "greeter", "/micro/", srv.Endpoint()} {
				require.NotContains(t, text, secret, name)
			}
		}
		if h, ok := s.Data.(metricdata.Histogram[float64]); ok {
			require.True(t, slices.IsSorted(h.DataPoints[0].Bounds))
		}
	}
}
