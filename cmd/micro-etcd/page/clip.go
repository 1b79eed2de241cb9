package page

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// How many bytes of a text are sent. A name beyond it is told apart by a hash.
const (
	maxLabel = 200
	maxText  = 2000
	maxPairs = 100 // of one map
)

// label shortens a name so that different names stay different.
func label(name string) string {
	if len(name) <= maxLabel && utf8.ValidString(name) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return cut(name, maxLabel-20) + "…" + hex.EncodeToString(sum[:6])
}

// clip shortens a text and says how long it was.
func clip(text string) string {
	if len(text) <= maxText {
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	return fmt.Sprintf("%s… (%d bytes)", cut(text, maxText), len(text))
}

// cut returns at most n bytes of text, whole and valid runes.
func cut(text string, n int) string {
	if len(text) > n {
		text = text[:n]
		for i := 0; i < utf8.UTFMax && len(text) > 0; i++ {
			if r, size := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || size != 1 {
				break
			}
			text = text[:len(text)-1]
		}
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
