package registrytest

import (
	"slices"
	"time"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/cases"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
)

// Case proves one rule.
type Case struct {
	// Name is unique and stable: "group/rule".
	Name string
	// Rule says in plain words what is owed.
	Rule string
	// Needs are the promises and hooks without which the rule does not apply. A case without needs applies to every
	// registry.
	Needs []Capability

	waits bool // mostly for the clock, so that it runs beside others
	body  func(*harness.Env)
}

// Outcome is what one case had to say.
type Outcome struct {
	Case Case
	// Skipped says why the case did not apply, and is empty if it did.
	Skipped string
	// Failures says what was wrong; none means that the rule held.
	Failures []string
	// Took is how long the case ran.
	Took time.Duration
}

// Report has one Outcome per case, in the order of [Cases].
type Report []Outcome

// Failed returns the names of the cases whose rule was broken, sorted.
func (r Report) Failed() []string {
	return r.names(func(o Outcome) bool { return len(o.Failures) > 0 })
}

// Skipped returns the names of the cases that did not apply, sorted.
func (r Report) Skipped() []string {
	return r.names(func(o Outcome) bool { return o.Skipped != "" })
}

// Passed returns the names of the cases whose rule held, sorted.
func (r Report) Passed() []string {
	return r.names(func(o Outcome) bool { return o.Skipped == "" && len(o.Failures) == 0 })
}

func (r Report) names(match func(Outcome) bool) []string {
	var names []string
	for _, o := range r {
		if match(o) {
			names = append(names, o.Case.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Cases returns all cases, in the order in which [Run] and [Check] take them. The slice is the caller's own.
func Cases() []Case {
	var all []Case
	for _, c := range cases.All() {
		public := Case{Name: c.Name, Rule: c.Rule, waits: c.Waits, body: c.Body}
		for _, need := range c.Needs {
			public.Needs = append(public.Needs, Capability(need))
		}
		all = append(all, public)
	}
	return all
}
