package check

import (
	"slices"
	"time"
)

// interval is a time from which and until which something was so.
type interval struct{ from, to time.Time }

func (s interval) length() time.Duration { return s.to.Sub(s.from) }

// minus returns what is left of s outside the others, if it isn't too short to be told.
func (s interval) minus(others []interval) []interval {
	left := []interval{s}
	for _, o := range others {
		var rest []interval
		for _, l := range left {
			if !o.from.Before(l.to) || !l.from.Before(o.to) {
				rest = append(rest, l)
				continue
			}
			if l.from.Before(o.from) {
				rest = append(rest, interval{l.from, o.from})
			}
			if o.to.Before(l.to) {
				rest = append(rest, interval{o.to, l.to})
			}
		}
		left = rest
	}
	return slices.DeleteFunc(left, func(l interval) bool { return l.length() <= minInterval })
}

// overlap returns the part of s that is in other too; its length may be negative.
func (s interval) overlap(other interval) interval {
	if other.from.After(s.from) {
		s.from = other.from
	}
	if other.to.Before(s.to) {
		s.to = other.to
	}
	return s
}
