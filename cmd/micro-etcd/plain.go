package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// plain makes a text from etcd harmless to a terminal and to its reader: control characters, line
// breaks, escape sequences, invisible characters, those that turn the direction of writing, and
// bytes that are no UTF-8 come out as Go's escapes, as does the backslash.
func plain(s string) string { return harmless(strings.ReplaceAll(s, `\`, `\\`)) }

// harmless is plain but for the backslash, for texts that aren't to be reversed.
func harmless(s string) string {
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

// unplain reverses plain, so that a name can be given as it was shown. What plain can't have made
// comes back as it is.
func unplain(s string) string {
	raw, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil || plain(raw) != s {
		return s
	}
	return raw
}

const (
	maxCell = 60  // the width of a cell in a table
	maxLine = 200 // that of a key in a sentence
)

// cell is plain, cut to a bearable width; nothing is shown as "-".
func cell(s string) string { return cut(s, maxCell) }

// line is cell for what has a line for itself.
func line(s string) string { return cut(s, maxLine) }

func cut(s string, width int) string {
	if s == "" {
		return "-"
	}
	end := min(len(s), width*utf8.UTFMax) // what comes after that is cut in any case
	for end < len(s) && !utf8.RuneStart(s[end]) {
		end--
	}
	text := plain(s[:end])
	if end < len(s) {
		text += "…"
	}
	return runewidth.Truncate(text, width, "…")
}
