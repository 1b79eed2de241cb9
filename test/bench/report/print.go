package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// String prints a row as plain text.
func (r *Row) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", r.ID, r.Title)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range r.Figures {
		fmt.Fprintf(w, "  %s\t%s\t±%.0f %%\t%s\t%s\t%s\n", f.Who, format(f.Median(), r.Unit), 50*f.Spread(), f.memory(),
			f.requests(), f.Note)
	}
	w.Flush()
	return b.String()
}

// String prints a curve as plain text.
func (c *Curve) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", c.ID, c.Title)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, l := range c.Lines {
		fmt.Fprintf(w, "  %s", l.Who)
		for _, p := range l.Points {
			fmt.Fprintf(w, "\t%g: %s", p.X, format(p.Y, c.Unit))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	return b.String()
}

func (f *Figure) memory() string {
	if f.Allocs < 0 {
		return ""
	}
	return fmt.Sprintf("%s allocs", number(f.Allocs))
}

// requests lists what etcd was asked, sorted.
func (f *Figure) requests() string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(f.Requests)) {
		parts = append(parts, fmt.Sprintf("%s %s", number(f.Requests[what]), what))
	}
	return strings.Join(parts, ", ")
}

// format prints a figure with three digits and a fitting unit.
func format(v float64, unit string) string {
	switch {
	case unit == "ns" && v < 1000:
		return number(v) + " ns"
	case unit == "ns" && time.Duration(v) < time.Millisecond:
		return number(v/1e3) + " µs"
	case unit == "ns" && time.Duration(v) < time.Second:
		return number(v/1e6) + " ms"
	case unit == "ns":
		return number(v/1e9) + " s"
	default:
		return strings.TrimSpace(number(v) + " " + unit)
	}
}

// number prints three digits.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
	default:
		s := strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
		if s == "0" || s == "" {
			return "0"
		}
		return s
	}
}
