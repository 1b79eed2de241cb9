package prober

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	errRefused = errors.New("refused")
	start      = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func check(name string, failures, successes int) Check {
	return Check{Name: name, FailureThreshold: failures, SuccessThreshold: successes}
}

func result(passed bool) error {
	if passed {
		return nil
	}
	return errRefused
}

var letters = map[string]string{Unknown: "?", NeverPassed: "0", Passing: "+", Failing: "-"}

func TestThresholds(t *testing.T) {
	for name, test := range map[string]struct {
		failures, successes int
		results             string // + for a pass, - for a failure
		states              string // after each of them
	}{
		"one pass is enough at first":          {3, 2, "+", "+"},
		"never passed is never failing":        {1, 1, "-----", "00000"},
		"passes after failures at first":       {2, 2, "---+", "?00+"},
		"failures from before don't count":     {2, 2, "---+-", "?00++"},
		"three in a row":                       {3, 2, "+---", "+++-"},
		"two, and a pass between":              {3, 2, "+--+--", "++++++"},
		"two to come back":                     {3, 2, "+---++", "+++--+"},
		"one pass, and a failure between":      {3, 2, "+---+-+-++", "+++------+"},
		"at once":                              {1, 1, "+-+-+", "+-+-+"},
		"back, and three in a row once more":   {3, 2, "+---++---", "+++--+++-"},
		"passes before don't count afterwards": {1, 2, "++++-+", "++++--"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newState([]Check{check("a", test.failures, test.successes)}, start)
			var states strings.Builder
			for _, r := range test.results {
				s.record(0, result(r == '+'), start)
				states.WriteString(letters[s.checks[0].State])
			}
			require.Equal(t, test.states, states.String())
		})
	}
}

func TestAStatusSaysSinceWhenAndWhy(t *testing.T) {
	s := newState([]Check{check("a", 2, 2)}, start)
	second := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	require.Equal(t, []Status{{Name: "a", State: Unknown, Since: start}}, s.statuses())
	s.record(0, errRefused, second(1))
	require.Equal(t, []Status{{Name: "a", State: Unknown, Since: start, Failures: 1, Err: errRefused}}, s.statuses())
	s.record(0, nil, second(2))
	require.Equal(t, []Status{{Name: "a", State: Passing, Since: second(2)}}, s.statuses())
	s.record(0, errRefused, second(3))
	require.Equal(t, []Status{{Name: "a", State: Passing, Since: second(2), Failures: 1, Err: errRefused}}, s.statuses())
	s.record(0, errRefused, second(4))
	require.Equal(t, []Status{{Name: "a", State: Failing, Since: second(4), Failures: 2, Err: errRefused}}, s.statuses())
	s.record(0, nil, second(5))
	require.Equal(t, []Status{{Name: "a", State: Failing, Since: second(4), Err: errRefused}}, s.statuses())
	s.record(0, nil, second(6))
	require.Equal(t, []Status{{Name: "a", State: Passing, Since: second(6)}}, s.statuses())
}

func TestTheNodeIsOutWhileAnyCheckFails(t *testing.T) {
	s := newState([]Check{check("a", 1, 1), check("b", 1, 1)}, start)
	step := func(check int, err error) (string, bool) {
		s.record(check, err, start)
		cause, changed := s.settle(start)
		if cause == nil {
			return "", changed
		}
		return cause.Name, changed
	}
	expect := func(check int, err error, cause string, changed bool) {
		t.Helper()
		gotCause, gotChanged := step(check, err)
		require.Equal(t, changed, gotChanged)
		require.Equal(t, cause, gotCause)
	}
	expect(0, nil, "", false)
	expect(1, nil, "", false)
	expect(1, errRefused, "b", true)
	expect(0, errRefused, "", false)
	expect(1, nil, "a", true) // which is to blame now
	expect(0, nil, "", true)
}

func TestReturnsDoubleTheLeastTimeOut(t *testing.T) {
	s := newState([]Check{check("a", 1, 1)}, start)
	now := start
	s.record(0, nil, now)
	// outage says how long the node stays out whose check fails once, and passes at once.
	outage := func() time.Duration {
		s.record(0, errRefused, now)
		_, changed := s.settle(now)
		require.True(t, changed)
		require.Zero(t, s.due(), "only a result can bring it back")
		s.record(0, nil, now)
		left := s.due().Sub(now)
		if left > 0 {
			_, changed = s.settle(now.Add(left - 1))
			require.False(t, changed)
		}
		now = now.Add(left)
		_, changed = s.settle(now)
		require.True(t, changed)
		return left
	}
	for _, least := range []float64{0, 5, 10, 20, 40, 60, 60, 60} {
		require.InDelta(t, least, outage().Seconds(), 0)
		now = now.Add(memory - 1)
	}
	now = now.Add(1)
	require.Zero(t, outage(), "ten minutes of health forget it")
	require.Equal(t, 5*time.Second, outage())
}

func TestALongOutageIsNotMadeLonger(t *testing.T) {
	s := newState([]Check{check("a", 1, 1)}, start)
	s.record(0, nil, start)
	for i := range 3 {
		began := start.Add(time.Duration(i) * 2 * time.Minute)
		s.record(0, errRefused, began)
		s.settle(began)
		over := began.Add(time.Minute)
		s.record(0, nil, over)
		cause, changed := s.settle(over)
		require.True(t, changed)
		require.Nil(t, cause)
	}
}

// FuzzState compares a state with what its whole history says. Each byte is a step: one check's result after a while.
func FuzzState(f *testing.F) {
	f.Add([]byte{1, 1, 0, 0, 0, 1, 1})
	f.Add([]byte("a history of nothing in particular, but long enough to come and go several times"))
	f.Add([]byte{1, 0, 0, 1, 1, 0, 0, 1, 1, 0xf8, 1, 0, 0, 1, 1, 3, 2, 2, 3, 3, 2, 2, 3, 3, 0xf8, 3, 1})
	checks := []Check{check("a", 2, 2), check("b", 2, 1)}
	waits := []time.Duration{
		0, time.Millisecond, time.Second, 4 * time.Second, 10 * time.Second, time.Minute, memory - 1, memory,
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		s, h := newState(checks, start), history{results: make([]string, len(checks))}
		now := start
		for _, step := range steps {
			i, passed := int(step>>1)%len(checks), step&1 == 1
			now = now.Add(waits[step>>5])
			h.settled(t, &s, now)
			s.record(i, result(passed), now)
			h.results[i] += map[bool]string{true: "+", false: "-"}[passed]
			require.Equal(t, h.state(checks[i], i), s.checks[i].State, "%s", h.results[i])
			h.settled(t, &s, now)
		}
	})
}

// history is all that has happened.
type history struct {
	results []string
	out     []time.Time // when it went out of service
	in      []time.Time // when it came back
}

// state finds the last run of failures that was long enough after a pass, and the last one of passes.
func (h *history) state(c Check, i int) string {
	results := h.results[i]
	first := strings.Index(results, "+")
	switch {
	case first < 0 && len(results) < c.FailureThreshold:
		return Unknown
	case first < 0:
		return NeverPassed
	}
	after := results[first+1:]
	failed := strings.LastIndex(after, strings.Repeat("-", c.FailureThreshold))
	if failed < 0 || strings.Contains(after[failed:], strings.Repeat("+", c.SuccessThreshold)) {
		return Passing
	}
	return Failing
}

// settled settles the state and judges what that did.
func (h *history) settled(t *testing.T, s *state, now time.Time) {
	t.Helper()
	wasOut, blamed := s.out, s.cause
	cause, changed := s.settle(now)
	require.Equal(t, changed, wasOut != s.out || blamed != s.cause)
	require.Equal(t, s.out && changed, cause != nil)
	sick := s.sick() != nil
	require.True(t, s.out || !sick, "a sick node is out")
	require.True(t, !sick || s.fails(s.cause), "who is to blame fails")
	if changed && s.out && !wasOut {
		require.True(t, sick, "a healthy one isn't taken out")
		h.out = append(h.out, now)
	}
	if changed && !s.out {
		require.GreaterOrEqual(t, now.Sub(h.out[len(h.out)-1]), h.least())
		h.in = append(h.in, now)
	}
	if s.out && !sick {
		require.Less(t, now.Sub(h.out[len(h.out)-1]), h.least(), "it is out for no longer than it has to")
	}
	_, again := s.settle(now)
	require.False(t, again)
}

// least is how long the node has to stay out.
func (h *history) least() time.Duration {
	least := time.Duration(0)
	for i := len(h.out) - 1; i > 0 && h.out[i].Sub(h.in[i-1]) < memory; i-- {
		least = max(5*time.Second, min(2*least, time.Minute))
	}
	return least
}

func TestChecksThatAreReplacedGoOnByTheirNames(t *testing.T) {
	a, b, c := Check{Name: "a"}, Check{Name: "b"}, Check{Name: "c"}
	for _, check := range []*Check{&a, &b, &c} {
		check.FailureThreshold, check.SuccessThreshold = 1, 1
	}
	now := time.Now()
	was := newState([]Check{a, b}, now)
	was.record(0, nil, now)
	was.record(1, nil, now)
	was.record(1, errors.New("away"), now)
	cause, changed := was.settle(now)
	require.True(t, changed)
	require.Equal(t, "b", cause.Name)
	inherit := func(out bool, checks ...Check) *state {
		s := newState(checks, now.Add(time.Minute))
		s.inherit(&was, out)
		return &s
	}
	states := func(s *state) (all []string) {
		for _, status := range s.statuses() {
			all = append(all, status.Name+" "+status.State)
		}
		return all
	}

	s := inherit(true, b, c, a)
	require.Equal(t, []string{"b failing", "c unknown", "a passing"}, states(s))
	_, changed = s.settle(now)
	require.False(t, changed, "it is out already")

	s = inherit(false, b)
	cause, changed = s.settle(now)
	require.True(t, changed, "nobody was told yet")
	require.Equal(t, "b", cause.Name)
	require.Equal(t, was.returns, s.returns, "it isn't counted twice")
	was.cause = "a"
	s = inherit(true, b)
	cause, changed = s.settle(now)
	require.True(t, changed, "a doesn't fail any more, or isn't there")
	require.Equal(t, "b", cause.Name)
	_, changed = s.settle(now)
	require.False(t, changed)

	was.outUntil = now.Add(time.Minute)
	s = inherit(true, a)
	_, changed = s.settle(now)
	require.False(t, changed, "it stays out as long as it would have")
	require.Equal(t, was.outUntil, s.due())
	cause, changed = s.settle(was.outUntil)
	require.True(t, changed)
	require.Nil(t, cause, "what failed isn't checked any more")
}
