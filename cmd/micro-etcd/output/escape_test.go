package output

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// hostile are texts that somebody may have put into etcd to fool a terminal, its reader, or a parser.
var hostile = []string{
	"\x1b[2J\x1b[31mred\x07", "a\r\nb", "\u202egnp.exe", "\u2066x", "zero\u200bwidth", "\x00\x7f\u009b31m", "tab\there",
	`back\slash "quote" 'single'`, "- yaml: [", "#no", "true", "1e3", "~", " lead", "\u00a0nbsp", "\ufeffbom",
	"\U000e0041tag", "日本語", "🤷", "",
	strings.Repeat("\u202e", 500), "?" + strings.Repeat("k", 2000), "{{.}} %s %d", "'", "\u2028ls",
}

func TestEscapeIsReversedByUnescape(t *testing.T) {
	for _, text := range append(hostile, "\xff", "a\xc3", `\n`, `\\`, `"`) {
		require.False(t, strings.ContainsFunc(Escape(text), func(r rune) bool { return !strconv.IsPrint(r) }), "%q", text)
		require.Equal(t, text, Unescape(Escape(text)), "%q", text)
	}
	require.Equal(t, `plain \q`, Unescape(`plain \q`))
}
