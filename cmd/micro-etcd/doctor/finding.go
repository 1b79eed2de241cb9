package doctor

import (
	"fmt"
	"strings"
)

// Severity orders findings.
type Severity int

// Severities: what is good to know, what will hurt, and what hurts.
const (
	Info Severity = iota
	Warning
	Critical
)

// String returns the severity's name in lower case.
func (s Severity) String() string { return [...]string{"info", "warning", "critical"}[s] }

// MarshalText makes a severity its name in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that was found.
type Finding struct {
	Severity Severity `json:"severity"`
	// Check is what found it: a name to filter by.
	Check string `json:"check"`
	// What is a sentence that names the culprit. It may hold what somebody has written into etcd.
	What string `json:"what"`
	// Advice is a sentence that says what to do.
	Advice string `json:"advice"`
	// Subjects are all the keys, leases or addresses concerned. What names some of them only.
	Subjects []string `json:"subjects,omitempty"`
}

func critical(advice, format string, args ...any) Finding {
	return Finding{Severity: Critical, Advice: advice, What: fmt.Sprintf(format, args...)}
}

func warning(advice, format string, args ...any) Finding {
	return Finding{Severity: Warning, Advice: advice, What: fmt.Sprintf(format, args...)}
}

func info(advice, format string, args ...any) Finding {
	return Finding{Severity: Info, Advice: advice, What: fmt.Sprintf(format, args...)}
}

// about adds the subjects.
func (f Finding) about(subjects ...string) Finding {
	f.Subjects = subjects
	return f
}

const (
	maxName  = 100 // bytes of a name in a sentence
	maxNamed = 5   // names in a sentence
)

// short cuts a name to a length for sentences.
func short(s string) string {
	if len(s) <= maxName {
		return s
	}
	return strings.ToValidUTF8(s[:maxName], "") + "…"
}

// list names some of many.
func list(names []string) string {
	var some []string
	for _, n := range names[:min(len(names), maxNamed)] {
		some = append(some, short(n))
	}
	text := strings.Join(some, ", ")
	if more := len(names) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// number says how many, with the noun and the verb that go with it.
func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
