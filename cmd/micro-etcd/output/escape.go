package output

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// Escape makes a text from etcd harmless to a terminal and to its reader: control characters, line breaks, escape
// sequences, invisible characters, those that turn the direction of writing, and bytes that are no UTF-8 come out as
// Go's escapes, as does the backslash.
func Escape(s string) string { return Sanitize(strings.ReplaceAll(s, `\`, `\\`)) }

// Sanitize is Escape but for the backslash, for texts that aren't to be reversed.
func Sanitize(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}

// Unescape reverses Escape, so that a name can be given as it was shown. What Escape can't have made comes back as it
// is.
func Unescape(s string) string {
	raw, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil || Escape(raw) != s {
		return s
	}
	return raw
}

const (
	maxCell = 60  // the width of a cell in a table
	maxLine = 200 // that of a key in a sentence
)

// Cell is Escape, cut to a bearable width; nothing is shown as "-".
func Cell(s string) string { return cut(s, maxCell) }

// Line is Cell for what has a line for itself.
func Line(s string) string { return cut(s, maxLine) }

func cut(s string, width int) string {
	if s == "" {
		return "-"
	}
	end := min(len(s), width*utf8.UTFMax) // what comes after that is cut in any case
	for end < len(s) && !utf8.RuneStart(s[end]) {
		end--
	}
	text := Escape(s[:end])
	if end < len(s) {
		text += "…"
	}
	return runewidth.Truncate(text, width, "…")
}

// Spellings are what a text may mean that was given as it is, or as it was shown.
func Spellings(s string) []string { return slices.Compact([]string{s, Unescape(s)}) }
