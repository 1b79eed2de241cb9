package health

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrCheck is what [Validate] returns, wrapped with the check's name and what is wrong with it.
var ErrCheck = errors.New("invalid health check")

const (
	maxName = 200 // bytes; a name is part of each reason, which is short
	// minTime catches plain numbers, which count nanoseconds: 5 instead of 5 * time.Second.
	minTime = time.Millisecond
)

// Validate reports the first mistake in the checks of one node. It takes zero fields for their defaults.
func Validate(checks ...Check) error {
	seen := make(map[string]bool, len(checks))
	for i, c := range checks {
		if c.Name == "" {
			return fmt.Errorf("%w: number %d has no name", ErrCheck, i+1)
		}
		if seen[c.Name] {
			return fmt.Errorf("%w %.*q: two checks have this name", ErrCheck, maxName, c.Name)
		}
		seen[c.Name] = true
		if problem := c.withDefaults().problem(); problem != "" {
			return fmt.Errorf("%w %.*q: %s", ErrCheck, maxName, c.Name, problem)
		}
	}
	return nil
}

// problem says what is wrong with a check that has its defaults, or returns "".
func (c Check) problem() string {
	switch {
	case len(c.Name) > maxName:
		return fmt.Sprintf("the name has %d bytes, more than %d", len(c.Name), maxName)
	case !isPrintable(c.Name):
		return "the name has characters that can't be printed"
	case c.Probe == nil:
		return "Probe is nil"
	case c.Interval < minTime:
		return tooShort("Interval", c.Interval)
	case c.Timeout < minTime:
		return tooShort("Timeout", c.Timeout)
	case c.Timeout > c.Interval:
		return fmt.Sprintf("Timeout %v is longer than Interval %v", c.Timeout, c.Interval)
	case c.InitialDelay < 0:
		return fmt.Sprintf("InitialDelay %v is negative", c.InitialDelay)
	case c.FailureThreshold < 0:
		return fmt.Sprintf("FailureThreshold %d is negative", c.FailureThreshold)
	case c.SuccessThreshold < 0:
		return fmt.Sprintf("SuccessThreshold %d is negative", c.SuccessThreshold)
	}
	return ""
}

func tooShort(field string, d time.Duration) string {
	if d < 0 {
		return fmt.Sprintf("%s %v is negative", field, d)
	}
	return fmt.Sprintf("%s %v is less than %v; write 5 * time.Second, not 5", field, d, minTime)
}

func isPrintable(name string) bool {
	return utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return !strconv.IsPrint(r) })
}
