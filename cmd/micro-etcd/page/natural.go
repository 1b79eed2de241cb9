package page

import (
	"cmp"
	"strings"
)

// natural compares as people do: v1.9 comes before v1.10.
func natural(a, b string) int {
	for a != "" && b != "" {
		x, y := token(a), token(b)
		a, b = a[len(x):], b[len(y):]
		if x == y {
			continue
		}
		if digit(x[0]) && digit(y[0]) {
			return numbers(x, y)
		}
		return cmp.Compare(x, y)
	}
	return cmp.Compare(len(a), len(b))
}

// token returns the leading digits or, if there are none, what precedes the first digit.
func token(s string) string {
	i := 1
	for i < len(s) && digit(s[i]) == digit(s[0]) {
		i++
	}
	return s[:i]
}

// numbers compares digits of any length; of equal ones the shorter is first, so that 1 and 01 differ.
func numbers(x, y string) int {
	v, w := strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
	return cmp.Or(cmp.Compare(len(v), len(w)), cmp.Compare(v, w), cmp.Compare(len(x), len(y)))
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
