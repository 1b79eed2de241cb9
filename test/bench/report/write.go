package report

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The parts of the document that don't depend on figures.
//
//go:embed method.md
var method string

// Write writes benchmarks.md and its plots into a directory. Without one it does nothing.
func Write(dir string, r *Result) error {
	if dir == "" {
		return nil
	}
	for _, c := range r.Curves {
		to := filepath.Join(dir, c.file())
		if err := os.WriteFile(to, []byte(c.SVG()), 0o644); err != nil { //nolint:gosec // a document
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "benchmarks.md"), []byte(r.Markdown()), 0o644) //nolint:gosec // a document
}

func (c *Curve) file() string { return "benchmark-" + c.ID + ".svg" }

// Markdown returns the document.
func (r *Result) Markdown() string {
	var b strings.Builder
	b.WriteString("<!-- Written by test/bench: change that, and run make bench. -->\n# Benchmarks\n\n")
	fmt.Fprintf(&b, "Measured on %s at commit %s with `%s`, in %s.\n", r.Date, r.Commit, r.Command, r.Took)
	fmt.Fprintf(&b, "Machine: %s. %s. Load average: %s.\n\n", r.Machine, r.Go, r.Load)
	b.WriteString(
		"Only ratios within this one run mean anything. Figures are medians; ± is half the distance between the quartiles.\n\n",
	)
	b.WriteString(
		"1. [Targets](#1-targets)\n2. [Where others are first](#2-where-others-are-first)\n3. [All figures](#3-all-figures)\n" +
			"4. [Growth](#4-growth)\n5. [What the others do differently](#5-what-the-others-do-differently)\n6. [How it is measured](#6-how-it-is-measured)\n\n",
	)
	r.writeTargets(&b)
	r.writeLosses(&b)
	r.writeRows(&b)
	r.writeCurves(&b)
	b.WriteString(method)
	return b.String()
}

func (r *Result) writeTargets(b *strings.Builder) {
	b.WriteString(
		"## 1. Targets\n\n| work | must reach | ours | compared with | ratio | met |\n|---|---|--:|--:|--:|---|\n",
	)
	for _, t := range Targets() {
		v, ok := t.Judge(r)
		if !ok {
			fmt.Fprintf(b, "| %s | %s | | | | not measured |\n", r.title(t.Work), t.Must)
			continue
		}
		met := "yes"
		if !v.Met {
			met = "**no**"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", r.title(t.Work), t.Must, v.Figure, v.Than, v.Ratio, met)
	}
	b.WriteString("\n")
}

// title returns what a row or a curve is called.
func (r *Result) title(id string) string {
	if row := r.Row(id); row != nil {
		return row.Title
	}
	for _, c := range r.Curves {
		if c.ID == id {
			return c.Title
		}
	}
	return id
}

// writeLosses lists the rows in which somebody else needs less, and why.
func (r *Result) writeLosses(b *strings.Builder) {
	b.WriteString("## 2. Where others are first\n\n")
	none := true
	for _, row := range r.Rows {
		best, first := row.best()
		if best == nil || first == nil || first.Median() <= best.Median() {
			continue
		}
		if none {
			b.WriteString("| work | first | ours | why |\n|---|---|--:|---|\n")
		}
		none = false
		fmt.Fprintf(b, "| %s | %s: %s | %s | %s |\n", row.Title, best.Who, format(best.Median(), row.Unit),
			format(first.Median(), row.Unit), reasons[strings.TrimSuffix(row.ID, "-unflushed")])
	}
	if none {
		b.WriteString("Nowhere in this run.\n")
	}
	b.WriteString("\n")
}

// best returns the least figure of somebody else, and ours: the better one where there are two.
func (r *Row) best() (theirs, ours *Figure) {
	for _, f := range r.Figures {
		to := &theirs
		if strings.HasPrefix(f.Who, Ours) {
			to = &ours
		} else if f.Lost > 0 {
			continue // it isn't the same work
		}
		if *to == nil || f.Median() < (*to).Median() {
			*to = f
		}
	}
	return theirs, ours
}

// reasons say why another one may be first in a row.
var reasons = map[string]string{
	"get-10":       sharedStrings,
	"get-1000":     sharedStrings,
	"get-10-by-1":  sameCopies,
	"get-10-by-2":  sameCopies,
	"get-10-by-8":  sameCopies,
	"first-lookup": "go-zero doesn't decode",
	"dense":        "ours guards each put and watches each key",
	"put-next-p50": handsOver,
	"put-next-p99": handsOver + "; and it is three samples of three hundred",
	"burst":        handsOver,
	"steady":       "that one follows nothing and reads nothing, so it has no probe",
}

const (
	sharedStrings = "go-zero returns one slice of stored strings to all callers; decoding and copying are left to them"
	sameCopies    = "both make the same copies, the memory registry from its maps"
	handsOver     = "the others hand over bytes; a Result is decoded, folded into a view, and copied for its caller"
)

func (r *Result) writeRows(b *strings.Builder) {
	fmt.Fprintf(b, "## 3. All figures\n\n<details><summary>%d tables</summary>\n\n", len(r.Rows))
	for _, row := range r.Rows {
		fmt.Fprintf(b,
			"### %s\n\n| | %s | ± | allocations | bytes | at etcd | remarks |\n|---|--:|--:|--:|--:|---|---|\n",
			row.Title, row.heading())
		for _, f := range row.Figures {
			allocs, bytes := "", ""
			if f.Allocs >= 0 {
				allocs, bytes = number(f.Allocs), number(f.Bytes)
			}
			fmt.Fprintf(b, "| %s | %s | %.0f %% | %s | %s | %s | %s |\n", f.Who, format(f.Median(), row.Unit),
				50*f.Spread(), allocs, bytes, f.requests(), f.Note)
		}
		b.WriteString("\n")
	}
	b.WriteString("</details>\n\n")
}

func (r *Row) heading() string {
	switch r.Unit {
	case "ns":
		return "time"
	case "B":
		return "memory"
	default:
		return r.Unit
	}
}

func (r *Result) writeCurves(b *strings.Builder) {
	b.WriteString("## 4. Growth\n\nBoth axes are logarithmic.\n\n")
	for _, c := range r.Curves {
		fmt.Fprintf(b, "![%s](%s)\n\n| %s |", c.Title, c.file(), c.X)
		xs := c.xs()
		for _, x := range xs {
			fmt.Fprintf(b, " %s |", count(x))
		}
		b.WriteString("\n|---|" + strings.Repeat("--:|", len(xs)) + "\n")
		for _, l := range c.Lines {
			fmt.Fprintf(b, "| %s |", l.Who)
			for _, x := range xs {
				y, _ := r.at(c.ID, l.Who, x)
				fmt.Fprintf(b, " %s |", format(y, c.Unit))
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
}

// xs returns all places at which a curve was measured.
func (c *Curve) xs() []float64 {
	var xs []float64
	for _, l := range c.Lines {
		for _, p := range l.Points {
			if !slices.Contains(xs, p.X) {
				xs = append(xs, p.X)
			}
		}
	}
	slices.Sort(xs)
	return xs
}
