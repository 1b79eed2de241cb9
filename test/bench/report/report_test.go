package report_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/test/bench/report"
)

func sample() *report.Result {
	curve := &report.Curve{ID: "event", Title: "events & nodes", X: "nodes", Y: "time", Unit: "ns"}
	for x, y := range map[float64]float64{10_000: 1100, 10: 1000, 100: 1e6} {
		curve.Add(report.Ours, x, y)
	}
	return &report.Result{
		Rows: []*report.Row{
			{ID: "get-10", Title: "lookup", Unit: "ns", Figures: []*report.Figure{
				{Who: report.Ours, Samples: []float64{9, 1000, 11}, Allocs: 51},
				{
					Who:      report.Plugin,
					Samples:  []float64{800, 900},
					Allocs:   1000,
					Requests: map[string]float64{"Range": 1},
				},
			}},
			{ID: "register-again", Title: "repeated", Unit: "ns", Figures: []*report.Figure{
				{Who: report.Ours, Samples: []float64{1}, Requests: map[string]float64{"Txn": 0.5}},
				{Who: report.Plugin, Samples: []float64{99}},
			}},
		},
		Curves: []*report.Curve{curve},
	}
}

func verdict(t *testing.T, work, must string) report.Verdict {
	t.Helper()
	for _, target := range report.Targets() {
		if target.Work == work && strings.Contains(target.Must, must) {
			v, ok := target.Judge(sample())
			require.True(t, ok)
			return v
		}
	}
	t.Fatalf("no target %q for %s", must, work)
	return report.Verdict{}
}

func TestMedianIgnoresOutliers(t *testing.T) {
	assert.InDelta(t, 11, sample().Row("get-10").Figure(report.Ours).Median(), 0)
	assert.InDelta(t, 850, sample().Row("get-10").Figure(report.Plugin).Median(), 0)
}

func TestTargetsAreMetOrMissedByTheirFactor(t *testing.T) {
	assert.False(t, verdict(t, "get-10", "80×").Met, "850/11 is below 80")
	assert.False(t, verdict(t, "register-again", "100×").Met, "99 is below 100")
	assert.True(t, verdict(t, "event", "1.25×").Met)
}

func TestOneRequestBreaksSilence(t *testing.T) {
	v := verdict(t, "register-again", "no request")
	assert.False(t, v.Met)
	assert.Equal(t, "0.5 Txn", v.Figure)
}

func TestMissingNamesWhatWasNotMeasured(t *testing.T) {
	missing := report.Missing(sample())
	assert.Contains(t, missing, "dense")
	assert.NotContains(t, missing, "get-10")
}

func TestDocumentShowsMissesAndKeepsRowsOfOthers(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, report.Write(dir, sample()))
	b, err := os.ReadFile(filepath.Join(dir, "benchmarks.md"))
	require.NoError(t, err)
	doc := string(b)
	assert.Contains(t, doc, "**no**")
	assert.Contains(t, doc, "not measured")
	assert.Contains(t, doc, "| official plugin v1.2.0 | 850 ns | 3 % | 1000 | 0 | 1 Range |")
	assert.Contains(t, doc, "(benchmark-event.svg)")
	assert.FileExists(t, filepath.Join(dir, "benchmark-event.svg"))
}

func TestPlotIsWellFormed(t *testing.T) {
	svg := sample().Curves[0].SVG()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	assert.Equal(t, 3, strings.Count(svg, "<circle"))
	assert.Contains(t, svg, "prefers-color-scheme: dark")
	assert.NotContains(t, svg, "NaN")
}
