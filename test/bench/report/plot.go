package report

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Size of a plot and of its frame, in pixels.
const (
	width, height            = 820, 420
	left, right, top, bottom = 80, 270, 40, 50
)

// Colors that can be told apart on white and on black, also by most color-blind readers.
var colors = []string{"#0a7cff", "#8a8f98", "#d9822b", "#c2185b", "#2e9e5b", "#8e5bd0", "#b08900"}

// SVG draws a curve with both axes logarithmic. Text takes the color that fits the reader's scheme.
func (c *Curve) SVG() string {
	var b strings.Builder
	fmt.Fprintf(&b,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", width,
		height, width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n", html.EscapeString(c.Title))
	b.WriteString(`<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.grid { stroke: #8a8f98; stroke-opacity: .3 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
</style>
`)
	fmt.Fprintf(&b, `<text x="%d" y="22" font-weight="bold">%s</text>`+"\n", left, html.EscapeString(c.Title))
	x, y := c.axes()
	x.decades(func(v, at float64) {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`, at, top, at, height-bottom)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", at, height-bottom+18, count(v))
	})
	y.decades(func(v, at float64) {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`, left, at, width-right, at)
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", left-8, at+4, format(v, c.Unit))
	})
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (left+width-right)/2, height-10,
		html.EscapeString(c.X))
	c.lines(&b, x, y)
	b.WriteString("</svg>\n")
	return b.String()
}

// lines draws the curves, each with its name at its end, moved apart where they would overlap.
func (c *Curve) lines(b *strings.Builder, x, y axis) {
	type name struct {
		at    float64
		color string
		who   string
	}
	var names []name
	for i, l := range c.Lines {
		color := colors[i%len(colors)]
		points := make([]string, len(l.Points))
		for j, p := range l.Points {
			points[j] = fmt.Sprintf("%.1f,%.1f", x.at(p.X), y.at(p.Y))
			cx, cy, _ := strings.Cut(points[j], ",")
			fmt.Fprintf(b, `<circle cx="%s" cy="%s" r="3.5" fill="%s"/>`, cx, cy, color)
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n",
			strings.Join(points, " "), color)
		names = append(names, name{y.at(l.Points[len(l.Points)-1].Y), color, l.Who})
	}
	slices.SortFunc(names, func(a, b name) int { return int(a.at - b.at) })
	last := float64(top) - 18
	for _, n := range names {
		last = max(n.at, last+18)
		fmt.Fprintf(b, `<text x="%d" y="%.1f" style="fill: %s">%s</text>`+"\n", width-right+10, last+4, n.color,
			html.EscapeString(n.who))
	}
}

// axis maps figures to pixels, decade by decade.
type axis struct {
	low, high float64 // exponents of ten
	from, to  float64 // pixels
}

func (c *Curve) axes() (x, y axis) {
	x = axis{math.Inf(1), math.Inf(-1), left, width - right}
	y = axis{math.Inf(1), math.Inf(-1), height - bottom, top}
	for _, l := range c.Lines {
		for _, p := range l.Points {
			x.hold(p.X)
			y.hold(p.Y)
		}
	}
	return x, y
}

func (a *axis) hold(v float64) {
	e := math.Log10(max(v, 1e-9))
	a.low, a.high = min(a.low, math.Floor(e)), max(a.high, math.Ceil(e))
	if a.low == a.high {
		a.high++
	}
}

func (a axis) at(v float64) float64 {
	return a.from + (math.Log10(max(v, 1e-9))-a.low)/(a.high-a.low)*(a.to-a.from)
}

func (a axis) decades(mark func(v, at float64)) {
	for e := a.low; e <= a.high; e++ {
		v := math.Pow(10, e)
		mark(v, a.at(v))
	}
}

// count prints 100000 as 100,000.
func count(v float64) string {
	s := fmt.Sprintf("%g", v)
	if v >= 1000 && v < 1e15 {
		s = fmt.Sprintf("%.0f", v)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
	}
	return s
}
