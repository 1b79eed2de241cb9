// Package report turns the figures of a benchmark run into documents.
package report

import (
	"cmp"
	"slices"
)

// Result is one run.
type Result struct {
	Date, Commit, Machine, Go, Command string
	Load                               string // of the machine, before the run and after it
	Took                               string
	Rows                               []*Row
	Curves                             []*Curve
}

// Row is the same work done by several competitors.
type Row struct {
	ID, Title string
	Unit      string // of the figures: ns, B, or a count
	Figures   []*Figure
}

// Figure is what one competitor needed. Samples are in the order in which they were taken.
type Figure struct {
	Who           string
	Samples       []float64
	Allocs, Bytes float64            // per operation; -1 if not counted
	Requests      map[string]float64 `json:",omitempty"` // at etcd, per operation or per minute
	Note          string             `json:",omitempty"`
	Lost          int                `json:",omitempty"` // events that never came
}

// Median returns the middle of the samples.
func (f *Figure) Median() float64 { return quantile(f.Samples, 0.5) }

// Spread returns how far the middle half of the samples is apart, as a share of the median.
func (f *Figure) Spread() float64 {
	m := f.Median()
	if m == 0 {
		return 0
	}
	return (quantile(f.Samples, 0.75) - quantile(f.Samples, 0.25)) / m
}

func quantile(samples []float64, q float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	at := q * float64(len(sorted)-1)
	below := int(at)
	if below == len(sorted)-1 {
		return sorted[below]
	}
	return sorted[below] + (at-float64(below))*(sorted[below+1]-sorted[below])
}

// Curve shows how a cost grows.
type Curve struct {
	ID, Title, X, Y string
	Unit            string // of Y
	Lines           []*Line
}

// Line is one competitor's curve.
type Line struct {
	Who    string
	Points []Point
}

// Point is the median of some samples.
type Point struct{ X, Y float64 }

// Row returns the row with an id, or nil if it wasn't measured.
func (r *Result) Row(id string) *Row {
	for _, row := range r.Rows {
		if row.ID == id {
			return row
		}
	}
	return nil
}

// Figure returns a competitor's figure, or nil.
func (r *Row) Figure(who string) *Figure {
	if r == nil {
		return nil
	}
	for _, f := range r.Figures {
		if f.Who == who {
			return f
		}
	}
	return nil
}

// Add puts a point on a competitor's line.
func (c *Curve) Add(who string, x, y float64) {
	at := slices.IndexFunc(c.Lines, func(l *Line) bool { return l.Who == who })
	if at < 0 {
		at = len(c.Lines)
		c.Lines = append(c.Lines, &Line{Who: who})
	}
	l := c.Lines[at]
	l.Points = append(l.Points, Point{x, y})
	slices.SortFunc(l.Points, func(a, b Point) int { return cmp.Compare(a.X, b.X) })
}
