package check

import (
	"fmt"
	"time"
)

// Violation is a promise that a history breaks.
type Violation struct {
	promise string // P2, P3, ...
	at      time.Time
	text    string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s broken at %s: %s", v.promise, v.at.Format("15:04:05.000"), v.text)
}

// violationf formats what has happened.
func violationf(promise string, at time.Time, format string, args ...any) Violation {
	return Violation{promise, at, fmt.Sprintf(format, args...)}
}
