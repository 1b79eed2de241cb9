package prober

import (
	"context"
	"slices"
	"time"
)

// Check has the fields of package health's type, so one converts to the other. All of them must be set and valid.
type Check struct {
	Name             string
	Probe            func(ctx context.Context, address string) error
	Interval         time.Duration
	Timeout          time.Duration
	InitialDelay     time.Duration
	FailureThreshold int
	SuccessThreshold int
}

// The states of a check.
//
//	unknown ──first pass──► passing ──FailureThreshold failures in a row──► failing
//	   │                      ▲  ▲                                             │
//	   │                      │  └─────SuccessThreshold passes in a row────────┘
//	   │                  first pass
//	   └─as many failures─► never passed
const (
	Unknown     = "unknown"
	NeverPassed = "never-passed" // it is more likely wrong than the node
	Passing     = "passing"
	Failing     = "failing" // the node is sick
)

// Status is what a check last said.
type Status struct {
	Name     string
	State    string    // one of those above
	Since    time.Time // when it came into its state
	Failures int       // in a row
	Err      error     // the last failure; nil if it is passing and its last run passed
}

// A node that is sick again within memory of its return stays out longer each time, so that it doesn't flap.
const (
	memory = 10 * time.Minute
	minOut = 5 * time.Second
	maxOut = time.Minute
)

// state is what is known of a node. It does no I/O and has no clock.
type state struct {
	checks []checkState

	out      bool      // of service
	cause    string    // the name of the check that is to blame
	outUntil time.Time // until when it stays out at least
	back     time.Time // when it last came back; zero for never
	returns  int       // how many times in a row it was sick again within memory of its return
}

type checkState struct {
	Status
	check  Check
	passes int // in a row
}

func newState(checks []Check, now time.Time) state {
	s := state{checks: make([]checkState, 0, len(checks))}
	for _, c := range checks {
		s.checks = append(s.checks, checkState{
			Status: Status{Name: c.Name, State: Unknown, Since: now},
			check:  c,
		})
	}
	return s
}

// inherit takes over what was known of checks with the same names, and of the node. told says whether a reason to be
// out of service was the last thing told.
func (s *state) inherit(from *state, told bool) {
	for i := range s.checks {
		c := &s.checks[i]
		for j := range from.checks {
			if was := &from.checks[j]; was.Name == c.Name {
				c.Status, c.passes = was.Status, was.passes
			}
		}
	}
	// What the other one has settled but not told, this one tells.
	s.out, s.outUntil, s.back, s.returns = from.out || told, from.outUntil, from.back, from.returns
	if told {
		s.cause = from.cause
	}
}

// record takes note of a check's result, and reports whether it comes into another state.
func (s *state) record(check int, err error, now time.Time) (news bool) {
	c := &s.checks[check]
	was := c.State
	if err != nil {
		c.Err, c.passes = err, 0
		c.Failures++
		if c.State == Passing && c.Failures >= c.check.FailureThreshold {
			c.enter(Failing, now)
		}
		if c.State == Unknown && c.Failures >= c.check.FailureThreshold {
			c.enter(NeverPassed, now)
		}
		return c.State != was
	}
	c.Failures = 0
	c.passes++
	if c.State == Unknown || c.State == NeverPassed || c.State == Failing && c.passes >= c.check.SuccessThreshold {
		c.enter(Passing, now)
	}
	if c.State == Passing {
		c.Err = nil
	}
	return c.State != was
}

func (c *checkState) enter(state string, now time.Time) { c.State, c.Since = state, now }

// settle takes the node out of service or back, or blames another check once the one before doesn't fail any more, and
// reports whether it did. cause is the check that is to blame, or nil if the node is back.
func (s *state) settle(now time.Time) (cause *Status, changed bool) {
	sick := s.sick()
	switch {
	case sick != nil && !s.out:
		s.out, s.outUntil, s.cause = true, now, sick.Name
		if s.back.IsZero() || now.Sub(s.back) >= memory {
			s.returns = 0
		} else {
			s.outUntil = now.Add(leastOut(s.returns))
			s.returns++
		}
		return sick, true
	case sick != nil && !s.fails(s.cause):
		s.cause = sick.Name
		return sick, true
	case sick == nil && s.out && !now.Before(s.outUntil):
		s.out, s.back = false, now
		return nil, true
	}
	return nil, false
}

// due returns when settle has to be called without another result, or the zero time.
func (s *state) due() time.Time {
	if s.out && s.sick() == nil {
		return s.outUntil
	}
	return time.Time{}
}

// sick returns a copy of what a failing check said, if there is one.
func (s *state) sick() *Status {
	for i := range s.checks {
		if status := s.checks[i].Status; status.State == Failing {
			return &status
		}
	}
	return nil
}

func (s *state) fails(name string) bool {
	return slices.ContainsFunc(s.checks, func(c checkState) bool { return c.Name == name && c.State == Failing })
}

// leastOut is the least time out of service after a number of earlier returns to being sick.
func leastOut(returns int) time.Duration {
	if returns > 4 {
		return maxOut
	}
	return min(minOut<<returns, maxOut)
}

// statuses returns copies.
func (s *state) statuses() []Status {
	all := make([]Status, 0, len(s.checks))
	for i := range s.checks {
		all = append(all, s.checks[i].Status)
	}
	return all
}
