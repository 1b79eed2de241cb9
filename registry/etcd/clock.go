package etcd

import "time"

// clock notices that the machine was asleep, or that its clock was set. Go's timers and etcd's leases run on monotonic
// clocks, and ours stands still on a sleeping machine while etcd's runs on: leases may have run out before anything
// is due here.
type clock struct {
	wall, monotonic time.Time
}

// clockSlack is how far the clocks may come apart: etcd's shortest leases live 2 s.
const clockSlack = 2 * time.Second

// wallClock returns the time of day without a monotonic reading. Tests replace it.
var wallClock = func() time.Time { return time.Now().Round(0) }

func newClock() *clock { return &clock{wallClock(), time.Now()} }

// jump returns by how much the time of day has moved against the monotonic clock since the last call, if that is much.
func (c *clock) jump() time.Duration {
	wall, monotonic := wallClock(), time.Now()
	gap := wall.Sub(c.wall) - monotonic.Sub(c.monotonic)
	c.wall, c.monotonic = wall, monotonic
	if gap.Abs() <= clockSlack {
		return 0
	}
	return gap
}
