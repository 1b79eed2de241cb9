package prober

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxReason = 300 // bytes
	ellipsis  = "…"
)

// reason says why a node is out of service: which check failed, and its error. It is "" without a cause.
func reason(cause *Status) string {
	if cause == nil {
		return ""
	}
	// The error comes from a probe: printed with %v, one whose Error method panics does no harm.
	return clip(fmt.Sprintf("check %q: %v", cause.Name, cause.Err))
}

// clip escapes what could harm a terminal or mislead a reader, and cuts the text between two characters.
func clip(text string) string {
	var b strings.Builder
	fits := 0 // how much of it leaves space for an ellipsis
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		piece := text[i : i+size]
		switch {
		case r == utf8.RuneError && size == 1:
			piece = fmt.Sprintf(`\x%02x`, text[i])
		case !strconv.IsPrint(r):
			quoted := strconv.QuoteRune(r)
			piece = quoted[1 : len(quoted)-1]
		}
		if b.Len()+len(piece) > maxReason {
			return b.String()[:fits] + ellipsis
		}
		b.WriteString(piece)
		if b.Len() <= maxReason-len(ellipsis) {
			fits = b.Len()
		}
		i += size
	}
	return b.String()
}
