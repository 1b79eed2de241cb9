package chaos

import (
	"slices"
	"time"
)

// span is a time from which and until which something was so.
type span struct{ from, to time.Time }

func (s span) length() time.Duration { return s.to.Sub(s.from) }

// minus returns what is left of s outside the others, if it isn't too short to be told.
func (s span) minus(others []span) []span {
	left := []span{s}
	for _, o := range others {
		var rest []span
		for _, l := range left {
			if !o.from.Before(l.to) || !l.from.Before(o.to) {
				rest = append(rest, l)
				continue
			}
			if l.from.Before(o.from) {
				rest = append(rest, span{l.from, o.from})
			}
			if o.to.Before(l.to) {
				rest = append(rest, span{o.to, l.to})
			}
		}
		left = rest
	}
	return slices.DeleteFunc(left, func(l span) bool { return l.length() <= glance })
}

// overlap returns the part of s that is in other too; its length may be negative.
func (s span) overlap(other span) span {
	if other.from.After(s.from) {
		s.from = other.from
	}
	if other.to.Before(s.to) {
		s.to = other.to
	}
	return s
}
