package health

import (
	"context"
	"time"
)

// Defaults of a [Check]. They notice a failure within 10 to 15 seconds: three failed runs, five seconds apart, the
// first one at most five seconds after the failure. A node that hangs takes a timeout more. That is about as fast as a
// lease with a short TTL expires.
const (
	// DefaultInterval is short enough for three runs to fit into 15 seconds, and long enough for their cost not to
	// matter.
	DefaultInterval = 5 * time.Second
	// DefaultTimeout is far beyond what a healthy node needs, and still leaves a pause before the next run.
	DefaultTimeout = 2 * time.Second
	// DefaultInitialDelay gives the server time to accept connections. Go Micro registers a node just before that.
	DefaultInitialDelay = time.Second
	// DefaultFailureThreshold makes sure that one lost packet or one long garbage collection changes nothing.
	DefaultFailureThreshold = 3
	// DefaultSuccessThreshold makes sure that one lucky answer from a node in trouble doesn't bring it back.
	DefaultSuccessThreshold = 2
)

// Check is a health check of one node. Fields that are zero have defaults. A registry takes a copy, so changing a field
// later has no effect.
type Check struct {
	// Name tells the check apart from the node's others, in status, logs and the reason for which a node is out of
	// service. It must not be empty.
	Name string

	// Probe returns nil if the node is healthy, or else why it isn't. It gets the address that the node is registered
	// with, as callers see it: usually host:port, or a URL such as http://host:port.
	//
	// It must return when ctx ends. A Probe that doesn't counts as failed at its timeout and once more at each interval,
	// and doesn't run again before it has returned. A panic counts as a failure.
	Probe func(ctx context.Context, address string) error

	// Interval is the time from the start of a run to the start of the next one. Each is up to 10 % longer or shorter
	// at random, so that the checks of a fleet spread out. The default is 5 s.
	Interval time.Duration

	// Timeout limits one run. It can't be longer than Interval. The default is 2 s, or Interval if that is shorter.
	Timeout time.Duration

	// InitialDelay is the time until the first run. The default is 1 s. For no delay, use time.Nanosecond.
	InitialDelay time.Duration

	// FailureThreshold is how many runs in a row have to fail before the node counts as sick. The default is 3.
	// Failures before the first pass never make it sick.
	FailureThreshold int

	// SuccessThreshold is how many runs in a row have to pass before a sick node counts as healthy. The default is 2.
	SuccessThreshold int
}

// WithDefaults returns copies of the checks with their zero fields set to the defaults.
func WithDefaults(checks ...Check) []Check {
	filled := make([]Check, 0, len(checks))
	for _, c := range checks {
		filled = append(filled, c.withDefaults())
	}
	return filled
}

func (c Check) withDefaults() Check {
	setDefault(&c.Interval, DefaultInterval)
	setDefault(&c.Timeout, min(DefaultTimeout, c.Interval))
	setDefault(&c.InitialDelay, DefaultInitialDelay)
	setDefault(&c.FailureThreshold, DefaultFailureThreshold)
	setDefault(&c.SuccessThreshold, DefaultSuccessThreshold)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Func returns a check that calls a function. Use it for what a node knows best itself, such as a stuck worker pool or
// a full disk. f must return when ctx ends.
func Func(name string, f func(ctx context.Context) error) Check {
	c := Check{Name: name}
	if f != nil {
		c.Probe = func(ctx context.Context, _ string) error { return f(ctx) }
	}
	return c
}
