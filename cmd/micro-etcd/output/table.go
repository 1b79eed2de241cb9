package output

import (
	"io"
	"strings"

	"github.com/mattn/go-runewidth"
)

// Rows are those of a table, the first one a heading. Cells are made by [Cell] or known to be harmless.
type Rows [][]string

// Row adds a row.
func (t *Rows) Row(cells ...string) { *t = append(*t, cells) }

// Write writes columns two blanks apart.
func (t *Rows) Write(w io.Writer) error {
	var widths []int
	for _, row := range *t {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], runewidth.StringWidth(c))
		}
	}
	var b strings.Builder
	for _, row := range *t {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(runewidth.FillRight(c, widths[i]+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
